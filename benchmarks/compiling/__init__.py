"""From a circuit to a model that has run: time, memory and size."""
