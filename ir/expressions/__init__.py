"""Circuits written as formulas."""
