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
    """Sum (or integrate) variables out and drop them: the circuit of the others.

    Works with given values and without. A second run finds the variables gone.

    Before::

        %p = product %rain %wet

    After ``marginalize{variables=rain}``, ``%wet`` stands for ``%p``.

    Attributes:
        variables: ``"rain;wind"``: names. `Marginalize.out` makes it from names.
    """

    name: ClassVar[str] = "marginalize"
    variables: str = ""

    @classmethod
    def out(cls, names: Iterable[str]) -> Marginalize:
        """The pass for these variables."""
        return cls(variables=";".join(names))

    def indices(self, circuit: Circuit) -> list[int]:
        """The variables that the circuit still has."""
        present = {v.name for v in circuit.variables}
        names = self.variables.split(";") if self.variables else []
        return [find(circuit, name) for name in names if name in present]

    def run(self, circuit: Circuit) -> Circuit:
        """Sum out what is still there.

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
