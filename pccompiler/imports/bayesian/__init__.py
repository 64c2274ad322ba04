"""Compiles Bayesian networks to circuits."""
