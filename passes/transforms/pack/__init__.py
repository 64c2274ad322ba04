"""Vector nodes from scalar nodes."""
