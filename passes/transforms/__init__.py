"""Passes that turn a circuit into another one, one in each file."""
