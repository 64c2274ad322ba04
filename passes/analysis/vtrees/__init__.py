"""Vtrees that a circuit respects."""
