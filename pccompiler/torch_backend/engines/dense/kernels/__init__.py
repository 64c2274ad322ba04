"""Triton kernels of the dense engine."""
