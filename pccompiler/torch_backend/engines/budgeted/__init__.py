"""The engine that stays within a memory budget."""
