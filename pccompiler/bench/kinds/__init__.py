"""What is timed: a file each."""
