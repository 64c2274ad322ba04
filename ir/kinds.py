"""The closed set of operations that nodes compute."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """What a node computes from its operands, unit by unit."""

    INPUT = 0
    """A family of distributions over one variable, one distribution per unit."""
    PRODUCT = 1
    """Elementwise product of operands of equal width."""
    KRONECKER = 2
    """Every product of one unit of each operand; the last operand's unit varies fastest."""
    SUM = 3
    """Dense: each unit mixes all units of all operands; weights have shape (units, fan-in)."""
    MIXTURE = 4
    """Unit u mixes unit u of each operand; weights have shape (units, operands)."""

    @property
    def keyword(self) -> str:
        """The word in the text form."""
        return self.name.lower()


SUMS = (Kind.SUM, Kind.MIXTURE)
PRODUCTS = (Kind.PRODUCT, Kind.KRONECKER)
