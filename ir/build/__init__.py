"""Circuits declared in Python."""
