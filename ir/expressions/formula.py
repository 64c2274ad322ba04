"""What formulas consist of, without the operators that make them."""

from __future__ import annotations

from dataclasses import dataclass

from pccompiler.ir.arrays import Float
from pccompiler.ir.kinds import Kind
from pccompiler.ir.variables import Variable


class Declared:
    """A variable of formulas. Equal ones are the same object.

    Attributes:
        variable: What it ranges over.
        serial: Earlier ones have smaller numbers.
    """

    def __init__(self, variable: Variable, serial: int) -> None:
        self.variable, self.serial = variable, serial

    def __str__(self) -> str:
        return self.variable.name


@dataclass(frozen=True, eq=False, kw_only=True)
class Formula:
    """A node of a circuit to be, with the nodes under it.

    Attributes:
        kind: What the node computes.
        units: Its width.
        operands: The nodes under it.
        variable: Of an input: what it is over.
        family: Of an input, else -1.
        values: Weights or parameters, shape ``(units, columns)``; ``None`` leaves them to training.
        weight: Nodes that name the same weight share it.
        name: The name in the circuit.
        location: ``file:line`` that made it.
        pending: Whether a further ``*`` or ``+`` goes into the same node.
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
