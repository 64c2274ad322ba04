"""The families of leaf distributions."""
