"""Measurements. Each module runs by itself, and writes JSON lines to benchmarks/results."""
