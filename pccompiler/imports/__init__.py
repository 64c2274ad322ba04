"""Circuits that other programs wrote."""
