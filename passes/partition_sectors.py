"""The pass that cuts sum weights into sectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pccompiler.ir import Circuit, Sectors
from pccompiler.ir.generators import SectorPolicy
from pccompiler.ir.partition import partition
from pccompiler.passes.base import Pass


@dataclass(frozen=True)
class PartitionSectors(Pass):
    """Record a partition of the sum weights on the circuit (HyperSPN paper, section 3).

    Before::

        %3 = sum 5 %2 @1

    After, the same nodes and::

        sectors by=block size=1 mixtures=false

    The options are those of `pccompiler.ir.Sectors`.
    """

    name: ClassVar[str] = "sectors"
    ensures: ClassVar[tuple[str, ...]] = ("sectors",)
    by: SectorPolicy = "block"
    size: int = 1
    mixtures: bool = False

    def __post_init__(self) -> None:
        self.policy()

    def policy(self) -> Sectors:
        """How the pass cuts.

        Raises:
            OptionError: If an option has a value that cannot be used.
        """
        return Sectors(by=self.by, size=self.size, mixtures=self.mixtures)

    def run(self, circuit: Circuit) -> Circuit:
        """Partition anew, whatever was there."""
        return partition(circuit, self.policy())
