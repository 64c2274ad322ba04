"""The pass that drops dead nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pccompiler.ir import Circuit
from pccompiler.ir.circuit import select
from pccompiler.ir.partition import partition
from pccompiler.ir.topology import reachable
from pccompiler.passes.base import Pass


@dataclass(frozen=True)
class Prune(Pass):
    """Drop the nodes that the root does not depend on, and weights that lose all their users.

    Before::

        %0 = input x indicator 2
        %1 = sum 1 %0 @0
        %2 = sum 1 %0 @1
        root %2

    After::

        %0 = input x indicator 2
        %1 = sum 1 %0 @0
        root %1
    """

    name: ClassVar[str] = "prune"
    requires: ClassVar[tuple[str, ...]] = ()  # it mends what the check refuses

    def run(self, circuit: Circuit) -> Circuit:
        """Keep what is reachable; ids are packed."""
        keep = reachable(circuit)
        if keep.all():
            return circuit
        pruned = select(circuit, keep).replace(generator=circuit.generator)
        return pruned if circuit.sectors is None else partition(pruned, circuit.sectors)
