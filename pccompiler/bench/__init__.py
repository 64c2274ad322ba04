"""Every speed figure, beside the least time that the machine could take (docs/howto/bench.md)."""
