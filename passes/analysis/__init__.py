"""What is true of a circuit."""
