"""Tools that structures share."""
