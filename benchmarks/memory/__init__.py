"""Evaluation and gradients within a budget of memory."""
