"""Input layers."""
