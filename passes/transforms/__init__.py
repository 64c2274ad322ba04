"""Passes that turn a circuit into another one, one per file."""
