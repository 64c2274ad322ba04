"""The torch side of our leaf families, one a file."""
