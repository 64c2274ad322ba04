"""The timed circuits: a file for each structure."""
