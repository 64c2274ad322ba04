"""Measured times, compared with the least time possible on the machine (docs/howto/bench.md)."""
