"""Conditional circuits beside peers."""
