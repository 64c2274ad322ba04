"""Measurements. Each module can be run, and writes JSON lines to benchmarks/results."""
