"""Fitting leaves to data: first estimates, and the maximisation step."""
