"""The pass that makes sums smooth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float, Int
from pccompiler.ir.families.registry import USUAL
from pccompiler.ir.kinds import SUMS
from pccompiler.ir.scopes import members
from pccompiler.passes.base import Pass
from pccompiler.passes.check.wellformed import verify_structure
from pccompiler.passes.rewriting.constants import Units, normalize
from pccompiler.passes.rewriting.editor import Draft

Fill = Literal["auto", "one", "train"]


@dataclass(frozen=True)
class Smooth(Pass):
    """Multiply operands of sums, and the root, by inputs over the variables that they lack.

    Inputs and their products are shared, so that the cost is one product for each operand and set
    of missing variables; the trace of PassManager shows how many nodes were added.

    Before::

        %s = sum 1 %rain_only %rain_and_wet @s

    After::

        %2 = input wet bernoulli 1 @2
        %3 = product %rain_only %2
        %s = sum 1 %3 %rain_and_wet @s

    Attributes:
        fill: ``"one"``: inputs that are 1 for every state, so that the function stays the same on
            complete rows. They are uniform leaves whose constants move into weights and the scale;
            discrete variables only. ``"train"``: parametric inputs without values. ``"auto"``:
            ``"one"`` for circuits with given values, otherwise ``"train"``.

    Source:
        Darwiche (2001), "On the Tractable Counting of Theory Models", section 4.
    """

    name: ClassVar[str] = "smooth"
    requires: ClassVar[tuple[str, ...]] = ()  # it repairs what the check refuses
    fill: Fill = "auto"

    def __post_init__(self) -> None:
        if self.fill not in ("auto", "one", "train"):
            raise OptionError.of(
                "PC302", f"unknown fill {self.fill!r}", help="use 'auto', 'one' or 'train'"
            )

    def run(self, circuit: Circuit) -> Circuit:
        """Fill sum by sum, then the root.

        Raises:
            CircuitError: If ``fill`` is ``"one"`` and a missing variable is not discrete.
        """
        verify_structure(circuit, "PC101", "PC105", "PC109")
        ones = self.fill == "one" or (self.fill == "auto" and bool(circuit.weights.values))
        filler = _Filler(circuit, ones)
        filler.fill()
        result = filler.draft.finish()
        if not ones:
            return result
        return normalize(result, filler.constants(result))


class _Filler:
    """Adds the inputs that sums and the root need, each once."""

    def __init__(self, circuit: Circuit, ones: bool) -> None:
        self.circuit = circuit
        self.draft = Draft(circuit)
        self.ones = ones
        self.inputs: dict[tuple[int, int], int] = {}
        self.products: dict[tuple[int, int], int] = {}

    def fill(self) -> None:
        """Redirect the edges of sums to filled operands, and the root to a filled root."""
        circuit, scopes = self.circuit, self.circuit.scopes
        sums = np.flatnonzero(np.isin(circuit.kind, SUMS))
        where = circuit.edges_of(sums)
        owner, below = np.repeat(sums, circuit.fan_in[sums]), circuit.operands[where]
        lacking = np.flatnonzero(scopes.index[owner] != scopes.index[below])
        for edge in lacking.tolist():
            node, operand = int(owner[edge]), int(below[edge])
            absent = scopes.table[scopes.index[node]] & ~scopes.table[scopes.index[operand]]
            self.draft.operands[where[edge]] = self.filled(operand, members(absent))
        absent = np.setdiff1d(np.arange(len(circuit.variables)), scopes.variables(circuit.root))
        if len(absent):
            self.draft.root = self.filled(circuit.root, absent)
            self.draft.changed = True

    def filled(self, operand: int, absent: Int) -> int:
        """The operand times inputs over the variables it lacks, made once for each set of them."""
        key = (operand, hash(absent.tobytes()))
        if key not in self.products:
            width = int(self.circuit.units[operand])
            parts = [self.input(variable, width) for variable in absent.tolist()]
            self.products[key] = self.draft.add(
                Kind.PRODUCT, width, [operand, *parts], before=operand + 1
            )
        return self.products[key]

    def input(self, variable: int, width: int) -> int:
        """The input over ``variable`` with ``width`` units."""
        if (variable, width) not in self.inputs:
            self.inputs[variable, width] = self.new_input(variable, width)
        return self.inputs[variable, width]

    def new_input(self, variable: int, width: int) -> int:
        over = self.circuit.variables[variable]
        family = USUAL[over.domain]
        shape = (width, family.columns(over))
        if not self.ones:
            weight = self.draft.add_weight(None, shape)
        elif over.discrete:
            weight = self.draft.add_weight(np.full(shape, 1.0 / over.cardinality))
        else:
            raise CircuitError.of(
                "PC142",
                f"variable {over.name!r} is missing below a sum or at the root, and no positive "
                f"constant over a {over.domain} variable has a finite sum or integral",
                help="use smooth{fill=train}, or multiply the operands by inputs of your own",
            )
        return self.draft.add(
            Kind.INPUT, width, before=0, weight=weight, family=family, variable=variable
        )

    def constants(self, result: Circuit) -> Float:
        """Log-constants of the units of ``result``: inputs that are 1 sum to the cardinality."""
        units = Units.of(result)
        leaves = np.zeros(units.total)
        for (variable, width), node in self.inputs.items():
            if self.draft.place[node] < 0:  # only dead nodes used it
                continue
            start = units.offset[self.draft.place[node]]
            leaves[start : start + width] = np.log(self.circuit.variables[variable].cardinality)
        return leaves
