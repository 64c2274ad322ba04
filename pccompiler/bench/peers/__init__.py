"""Scripts that run in a peer's own Python: `run.py`, and one `with_*.py` for each peer."""
