"""Engines: what evaluates a plan, and which one does."""
