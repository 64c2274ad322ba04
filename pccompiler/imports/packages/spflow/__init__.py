"""Readers of SPFlow circuits: nodes of version 0.0 and modules of version 1."""
