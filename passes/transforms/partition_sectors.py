"""The pass that cuts sum weights into sectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Sectors
from pccompiler.ir.sectors import Cut, partition
from pccompiler.passes.base import Pass


@dataclass(frozen=True)
class PartitionSectors(Pass):
    """Record a partition of the sum weights on the circuit (HyperSPN paper, section 3).

    Before::

        %3 = sum 5 %2 @1

    After, the same nodes and::

        sectors by=block size=1 mixtures=false

    The options are those of `pccompiler.ir.Sectors`; in Python, ``own`` takes a table or a function
    instead, as `pccompiler.compile` does.
    """

    name: ClassVar[str] = "sectors"
    ensures: ClassVar[tuple[str, ...]] = ("sectors",)
    by: Literal["block", "rows", "size"] = "block"
    size: int = 1
    mixtures: bool = False
    own: Sectors | Cut | None = field(default=None, metadata={"text": False})

    def __post_init__(self) -> None:
        if self.by not in ("block", "rows", "size"):
            raise OptionError.of(
                "PC302",
                f"unknown sector policy {self.by!r}",
                help="use 'block', 'rows' or 'size'; own= takes a table or a function",
            )
        self.policy()

    def policy(self) -> Sectors:
        """How the pass cuts, unless ``own`` is given.

        Raises:
            OptionError: If an option has a value that cannot be used.
        """
        return Sectors(by=self.by, size=self.size, mixtures=self.mixtures)

    def run(self, circuit: Circuit) -> Circuit:
        """Partition the weights, replacing any sectors."""
        return partition(circuit, self.policy() if self.own is None else self.own)
