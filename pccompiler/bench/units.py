"""Amounts of work, by the unit of the chip that does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "tf32"]
"""How wide sums round their operands."""
NUMBER = 4
"""Bytes per number."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Amounts of work.

    Attributes:
        flops: Multiplications and additions.
        matrix: Those of dense sums that matrix units can do in TF32.
        special: Exponentials, logarithms, reciprocals and square roots.
        bytes: Bytes through device memory.
    """

    flops: int = 0
    matrix: int = 0
    special: int = 0
    bytes: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            flops=self.flops + other.flops,
            matrix=self.matrix + other.matrix,
            special=self.special + other.special,
            bytes=self.bytes + other.bytes,
        )

    def times(self, number: int) -> Work:
        """The same work for each of ``number`` rows."""
        return Work(
            flops=number * self.flops,
            matrix=number * self.matrix,
            special=number * self.special,
            bytes=number * self.bytes,
        )
