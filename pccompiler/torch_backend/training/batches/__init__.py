"""Where the rows of each training step come from."""
