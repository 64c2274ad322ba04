"""Determinism: whether the operands of each sum have disjoint supports."""
