"""The text form of circuits, and the files that it points to."""
