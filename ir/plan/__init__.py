"""Plans: what a circuit becomes before a backend takes it."""
