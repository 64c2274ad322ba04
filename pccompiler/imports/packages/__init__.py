"""Readers of other packages' objects, which are not imported."""
