"""Lowers circuits to plans."""
