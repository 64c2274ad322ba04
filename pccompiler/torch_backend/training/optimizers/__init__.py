"""Optimizers: our own Adam, and any of torch's."""
