"""Plans: lowered circuits, which backends run."""
