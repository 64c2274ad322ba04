"""The rules that a circuit must meet."""
