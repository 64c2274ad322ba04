"""The pass that gives every weight its own logit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from pccompiler.ir import Circuit, Direct
from pccompiler.ir.generators import WEIGHT_FLOOR, uses_sectors
from pccompiler.passes.base import Pass, require


@dataclass(frozen=True)
class AttachDirect(Pass):
    """Give every weight its own logit.

    Before::

        %1 = sum 5 %0 @0

    After, the same and::

        generator direct allocation=used floor=1e-12

    The options are those of `pccompiler.ir.Direct`; ``allocation=reference`` requires sectors.
    """

    name: ClassVar[str] = "direct"
    ensures: ClassVar[tuple[str, ...]] = ("generator",)
    allocation: Literal["used", "reference"] = "used"
    floor: float = WEIGHT_FLOOR

    def __post_init__(self) -> None:
        self.generator()

    def generator(self) -> Direct:
        """The generator that the pass attaches.

        Raises:
            OptionError: If an option has a value that cannot be used.
        """
        return Direct(allocation=self.allocation, floor=self.floor)

    def run(self, circuit: Circuit) -> Circuit:
        """Attach the generator, replacing any other."""
        if uses_sectors(self.generator()):
            require("sectors", circuit, str(self))
        return circuit.replace(generator=self.generator())
