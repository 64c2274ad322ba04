"""Packs scalar nodes into vector nodes."""
