"""`pccompiler.explain`: what will run, where, at what cost, and why."""
