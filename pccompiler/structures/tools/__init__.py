"""What the structures share."""
