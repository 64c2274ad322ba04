"""Vtrees, and the search for one that a circuit respects."""
