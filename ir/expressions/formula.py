"""The parts of formulas, without the operators that combine them."""

from __future__ import annotations

from dataclasses import dataclass

from pccompiler.ir.arrays import Float
from pccompiler.ir.kinds import Kind
from pccompiler.ir.variables import Variable


class Declared:
    """A variable of formulas. Equal variables are the same object.

    Attributes:
        variable: The variable of the circuit.
        serial: Variables declared earlier have smaller numbers.
    """

    def __init__(self, variable: Variable, serial: int) -> None:
        self.variable, self.serial = variable, serial

    def __str__(self) -> str:
        return self.variable.name


@dataclass(frozen=True, eq=False, kw_only=True)
class Formula:
    """A node of a future circuit, with the nodes below it.

    Attributes:
        kind: What the node computes.
        units: Its width.
        operands: The nodes below it.
        variable: The variable of an input.
        family: The family of an input, otherwise -1.
        values: Weights or parameters, shape ``(units, columns)``; ``None``: to be trained.
        weight: Nodes that name the same weight share it.
        name: The name in the circuit.
        location: ``file:line`` where it was made.
        pending: Whether a further ``*`` or ``+`` extends the same node.
    """

    kind: Kind
    units: int
    operands: tuple[Formula, ...] = ()
    variable: Declared | None = None
    family: int = -1
    values: Float | None = None
    weight: str | None = None
    name: str | None = None
    location: str = ""
    pending: bool = False
