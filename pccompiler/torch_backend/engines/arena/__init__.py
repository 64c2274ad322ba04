"""The engine for plans of many small layers: one arena for all values."""
