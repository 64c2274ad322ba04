"""From circuits to plans."""
