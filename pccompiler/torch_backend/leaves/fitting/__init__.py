"""Fits leaves to data: first estimates, and the M-step of EM."""
