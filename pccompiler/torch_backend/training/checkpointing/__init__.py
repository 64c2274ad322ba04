"""Interrupting and resuming a training."""
