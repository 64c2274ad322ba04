"""Analyses: facts about a circuit."""
