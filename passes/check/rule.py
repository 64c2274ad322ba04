"""What a rule of the check is, and how rules describe nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Int

NO_NODE = np.array([-1])
"""The culprit of a fault in the circuit as a whole."""
_MOST_NOTES = 8
_MOST_NAMES = 8


class Fault(NamedTuple):
    """What is wrong with one culprit; the rule adds the code and the location."""

    message: str
    help: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """One rule: finds all culprits with array operations, then describes them one by one.

    Attributes:
        code: As listed in docs/reference/errors.md.
        culprits: The nodes that break the rule, ascending; `NO_NODE` if the whole circuit does.
        describe: Says what is wrong with one of them.
    """

    code: str
    culprits: Callable[[Circuit], Int]
    describe: Callable[[Circuit, int], Fault]


def title(circuit: Circuit, node: int) -> str:
    """A node in a message: ``sum %root``."""
    return f"{Kind(int(circuit.kind[node])).keyword} {circuit.label(node)}"


def at(circuit: Circuit, node: int) -> str:
    """The node's location, to end a note with."""
    where = circuit.where(node)
    return f", {where}" if where else ""


def names(circuit: Circuit, variables: Int) -> str:
    """Variables as a set: ``{rain, wet}``."""
    shown = [circuit.variables[v].name for v in variables[:_MOST_NAMES].tolist()]
    rest = len(variables) - len(shown)
    return "{" + ", ".join(shown) + (f", and {rest:,} more" if rest else "") + "}"


def scope(circuit: Circuit, node: int) -> str:
    """The node's scope as a set."""
    return names(circuit, circuit.scopes.variables(node))


def number(count: int, noun: str) -> str:
    """``1 unit``, ``2 units``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def some(notes: Sequence[str]) -> tuple[str, ...]:
    """The first few notes, and how many more there are."""
    rest = len(notes) - _MOST_NOTES
    return (*notes[:_MOST_NOTES], f"and {rest:,} more") if rest > 0 else tuple(notes)


def edges(circuit: Circuit, kinds: Sequence[Kind]) -> tuple[Int, Int]:
    """Owner and operand of every edge of the nodes of ``kinds``."""
    nodes = np.flatnonzero(np.isin(circuit.kind, kinds))
    return np.repeat(nodes, circuit.fan_in[nodes]), circuit.operands[circuit.edges_of(nodes)]
