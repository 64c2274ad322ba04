"""Generators of weights in torch: one file each."""
