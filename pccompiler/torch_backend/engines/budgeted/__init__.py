"""The engine that stays within a budget of memory."""
