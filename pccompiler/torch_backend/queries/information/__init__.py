"""Entropies, divergences and mutual information."""
