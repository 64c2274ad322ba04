"""Our leaf families, one a file."""
