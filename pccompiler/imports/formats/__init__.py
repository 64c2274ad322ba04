"""Readers of file formats of other programs."""
