"""The pass that squares a circuit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Float
from pccompiler.passes.base import Pass
from pccompiler.passes.transforms.multiply import multiply


@dataclass(frozen=True)
class Square(Pass):
    """The circuit times itself; needs given values and a structured decomposable circuit.

    Apart from the square of the old scale, ``log_scale`` is then the logarithm of the sum of
    squares: the collision probability, which gives the Renyi entropy of order 2.

    Before::

        %s = sum 1 %a %b @s

    After::

        %s = sum 1 %aa %ab %ba %bb @s

    Source:
        Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations", section 4.
    """

    name: ClassVar[str] = "square"

    def run(self, circuit: Circuit) -> Circuit:
        """Multiply the circuit by itself.

        Raises:
            CircuitError: If two products of the same scope split it in incompatible ways, or values
                are not given.
        """
        return multiply(circuit, circuit)

    def meaning(self, before: Circuit, rows: Float, mass: Callable[[Float], Float]) -> Float:
        """The square of the old value."""
        return mass(rows) ** 2
