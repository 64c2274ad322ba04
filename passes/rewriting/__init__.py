"""Tools that transforms share."""
