"""``pccompiler train`` and what it is made of."""
