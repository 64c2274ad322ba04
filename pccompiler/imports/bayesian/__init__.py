"""Bayesian networks compiled to circuits."""
