"""What will run, where, at what cost, and why: `pccompiler.explain`."""
