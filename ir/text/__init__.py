"""The text form of circuits, and the weights files that it names."""
