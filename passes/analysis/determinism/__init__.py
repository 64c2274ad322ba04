"""Whether the inputs of sums exclude one another."""
