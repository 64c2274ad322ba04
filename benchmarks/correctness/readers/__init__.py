"""All readers, with small valid content for each, and ways to damage it."""
