"""Evaluation and gradients within a memory budget."""
