"""Readers of other packages' objects, without importing the packages."""
