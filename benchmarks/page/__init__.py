"""Writes docs/benchmarks.md and its charts from the files in benchmarks/results."""
