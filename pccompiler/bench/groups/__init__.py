"""The cases, a file for each sort of circuit."""
