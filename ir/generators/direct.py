"""Weights that have logits of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pccompiler.ir.arrays import Float
from pccompiler.ir.generators.base import (
    ALLOCATIONS,
    WEIGHT_FLOOR,
    Generator,
    Head,
    Parameters,
    Shapes,
    allocated,
)
from pccompiler.options import one_of


@dataclass(frozen=True, kw_only=True)
class Direct(Generator):
    """Every weight has its own logit.

    Attributes:
        floor: Smallest weight. A row of F logits z becomes
            ``(softmax(z) + floor) / (1 + F floor)``.
        allocation: ``"used"``, or ``"reference"`` for the sizes of the paper's "# Params" columns
            (see `Hypernetwork`): codes are blocks of the largest shape.
    """

    keyword: ClassVar[str] = "direct"
    table: ClassVar[str] = "blocks"
    floor: float = WEIGHT_FLOOR
    allocation: Literal["used", "reference"] = "used"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("allocation", self.allocation, ALLOCATIONS)

    @property
    def fills_sectors(self) -> bool:
        """Only as the authors allocate."""
        return self.allocation == "reference"

    def codes(self, sectors: int, leaf_sectors: int) -> int:
        """Two for each leaf sector, as allocated."""
        return allocated(self.allocation, sectors, leaf_sectors)

    def shapes(self, heads: Sequence[Head], codes: int) -> Shapes:
        """The table of blocks."""
        return {self.table: (codes, *heads[0].largest)}

    def logits(self, codes: Float, head: Head, parameters: Parameters) -> Float:
        """The upper left part of each block."""
        return codes[:, : head.rows, : head.columns]

    def products(self, heads: Sequence[Head]) -> list[tuple[int, int, int]]:
        """None."""
        return []
