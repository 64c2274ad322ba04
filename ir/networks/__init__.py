"""Circuits from NetworkX graphs, and back."""
