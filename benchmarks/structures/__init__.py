"""From a structure, a file or an object of another package to a model: time, memory and size."""
