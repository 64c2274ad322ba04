"""The passes that say how sum weights come to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pccompiler.ir import Circuit, Direct, Hypernetwork
from pccompiler.ir.generators import WEIGHT_FLOOR
from pccompiler.passes.base import Pass


@dataclass(frozen=True)
class AttachHypernetwork(Pass):
    """Let a hypernetwork generate the weights of the sectors.

    Before::

        sectors by=block size=1 mixtures=false

    After, the same and::

        generator hypernetwork embedding=5 hidden=20x20 heads=per-shape allocation=used floor=1e-12
    """

    name: ClassVar[str] = "hypernet"
    requires: ClassVar[tuple[str, ...]] = ("sectors",)
    embedding: int = 5
    hidden: tuple[int, ...] = (20, 20)
    heads: Literal["per-shape", "slice"] = "per-shape"
    allocation: Literal["used", "reference"] = "used"
    floor: float = WEIGHT_FLOOR

    def run(self, circuit: Circuit) -> Circuit:
        """Attach, replacing any generator."""
        return circuit.replace(
            generator=Hypernetwork(
                embedding=self.embedding,
                hidden=self.hidden,
                heads=self.heads,
                allocation=self.allocation,
                floor=self.floor,
            )
        )


@dataclass(frozen=True)
class AttachDirect(Pass):
    """Give every weight a logit of its own.

    After::

        generator direct allocation=used floor=1e-12
    """

    name: ClassVar[str] = "direct"
    allocation: Literal["used", "reference"] = "used"
    floor: float = WEIGHT_FLOOR

    def run(self, circuit: Circuit) -> Circuit:
        """Attach, replacing any generator."""
        return circuit.replace(generator=Direct(allocation=self.allocation, floor=self.floor))
