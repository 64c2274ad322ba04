"""Expectations, moments and covariances."""
