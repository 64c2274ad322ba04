"""``pccompiler train`` and its parts."""
