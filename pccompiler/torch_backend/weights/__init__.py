"""Sum weights from parameters."""
