"""Compilers, caches, threads and devices."""
