"""The pass that sums variables out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Float
from pccompiler.passes.base import Pass
from pccompiler.passes.rewriting.restrict import find, restrict


@dataclass(frozen=True)
class Marginalize(Pass):
    """Sum (or integrate) variables out and drop them, leaving a circuit over the others.

    Works with and without given values. A second run changes nothing.

    Before::

        %p = product %rain %wet

    After ``marginalize{variables=rain}``, ``%wet`` replaces ``%p``.

    Attributes:
        variables: Names, as in ``"rain;wind"``. `Marginalize.out` builds it from a list.
    """

    name: ClassVar[str] = "marginalize"
    variables: str = ""

    @classmethod
    def out(cls, names: Iterable[str]) -> Marginalize:
        """The pass for these variables."""
        return cls(variables=";".join(names))

    def indices(self, circuit: Circuit) -> list[int]:
        """Indices of the variables that the circuit still has."""
        present = {v.name for v in circuit.variables}
        names = self.variables.split(";") if self.variables else []
        return [find(circuit, name) for name in names if name in present]

    def run(self, circuit: Circuit) -> Circuit:
        """Sum out the variables that are still there.

        Raises:
            CircuitError: If no variable is left.
        """
        values = dict.fromkeys(self.indices(circuit), np.nan)
        return restrict(circuit, values, keep_scale=True)

    def meaning(self, before: Circuit, rows: Float, mass: Callable[[Float], Float]) -> Float:
        """The old circuit's mass with these variables missing."""
        gone = self.indices(before)
        full = np.full((len(rows), len(before.variables)), np.nan)
        full[:, [v for v in range(full.shape[1]) if v not in gone]] = rows
        return mass(full)
