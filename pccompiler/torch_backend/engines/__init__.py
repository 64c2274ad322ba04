"""Engines evaluate plans; one is selected for each question."""
