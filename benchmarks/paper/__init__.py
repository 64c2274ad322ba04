"""The tables of the HyperSPN paper."""
