"""The pass that lets a hypernetwork generate sum weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pccompiler.ir import Circuit, Hypernetwork
from pccompiler.ir.generators import WEIGHT_FLOOR
from pccompiler.passes.base import WELL_FORMED, Pass


@dataclass(frozen=True)
class AttachHypernetwork(Pass):
    """Let a hypernetwork generate the weights of the sectors (HyperSPN paper, section 3).

    Before::

        sectors by=block size=1 mixtures=false

    After, the same and::

        generator hypernetwork embedding=5 hidden=20x20 heads=per-shape allocation=used floor=1e-12

    The options are those of `pccompiler.ir.Hypernetwork`.
    """

    name: ClassVar[str] = "hypernet"
    requires: ClassVar[tuple[str, ...]] = (WELL_FORMED, "sectors")
    ensures: ClassVar[tuple[str, ...]] = ("generator",)
    embedding: int = 5
    hidden: tuple[int, ...] = (20, 20)
    heads: Literal["per-shape", "slice"] = "per-shape"
    allocation: Literal["used", "reference"] = "used"
    floor: float = WEIGHT_FLOOR

    def __post_init__(self) -> None:
        self.generator()

    def generator(self) -> Hypernetwork:
        """The generator that the pass attaches.

        Raises:
            OptionError: If an option has a value that cannot be used.
        """
        return Hypernetwork(
            embedding=self.embedding,
            hidden=self.hidden,
            heads=self.heads,
            allocation=self.allocation,
            floor=self.floor,
        )

    def run(self, circuit: Circuit) -> Circuit:
        """Attach the generator, replacing any other."""
        return circuit.replace(generator=self.generator())
