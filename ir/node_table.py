"""The data of a circuit: its nodes and its weights, as columns.

Node ids are ``0 ... num_nodes - 1``, and every operand has a smaller id than its node. A *unit* is
a scalar output; a node is a vector of units over one scope.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.ir.arrays import Float, Int, floats, ints, ranges
from pccompiler.ir.families import Family
from pccompiler.ir.generators import Generator, Sectors
from pccompiler.ir.variables import Variable


@dataclass(frozen=True, eq=False)
class WeightTable:
    """The named parameters that nodes refer to.

    Attributes:
        rows: Shape ``(weights,)``; the units of the node that owns the weight.
        columns: Shape ``(weights,)``; fan-in of a sum, parameters per unit of an input.
        names: Weight id to name, for the weights that have one.
        values: Weight id to given values, shape ``(rows, columns)``: probabilities for sums, the
            family's parameters for inputs. Weights without an entry are left to training.
    """

    rows: Int
    columns: Int
    names: Mapping[int, str] = field(default_factory=dict[int, str])
    values: Mapping[int, Float] = field(default_factory=dict[int, Float])

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", ints(self.rows))
        object.__setattr__(self, "columns", ints(self.columns))
        values = {weight: floats(table) for weight, table in self.values.items()}
        object.__setattr__(self, "values", values)

    def __len__(self) -> int:
        return len(self.rows)

    def label(self, weight: int) -> str:
        """The weight as in the text form: ``@name`` or ``@id``."""
        return f"@{self.names.get(weight, weight)}"

    @cached_property
    def sizes(self) -> Int:
        """Entries of each weight."""
        return self.rows * self.columns

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeightTable):
            return NotImplemented
        return (
            np.array_equal(self.rows, other.rows)
            and np.array_equal(self.columns, other.columns)
            and dict(self.names) == dict(other.names)
            and self.values.keys() == other.values.keys()
            and all(np.array_equal(self.values[w], other.values[w]) for w in self.values)
        )

    __hash__ = None  # type: ignore[assignment]  # tables are compared by content


@dataclass(frozen=True, eq=False, kw_only=True)
class NodeTable:
    """The columns of a circuit, without anything derived from them.

    Attributes:
        variables: The columns of the data, in order.
        kind: Shape ``(nodes,)``, `Kind` values.
        units: Shape ``(nodes,)``, width of each node.
        pointer: Shape ``(nodes + 1,)``; node i's operands are
            ``operands[pointer[i]:pointer[i + 1]]``.
        operands: Shape ``(edges,)``, node ids.
        family: Shape ``(nodes,)``, `Family` values of inputs, otherwise -1; see `family_of`.
        variable: Shape ``(nodes,)``, variable index of inputs, otherwise -1.
        weight: Shape ``(nodes,)``, weight id of sums and parametric inputs, otherwise -1.
        root: The node whose value is the circuit's.
        weights: The parameters that ``weight`` refers to.
        names: Node id to name, for the nodes that have one.
        location: Shape ``(nodes,)``, index into ``locations`` of the declaring source line, or -1.
        locations: ``file:line`` texts.
        sectors: The partition of sum weights, once a pass has made it.
        generator: How sum weights are produced, once a pass has attached it.
        log_scale: The circuit's value is ``exp(log_scale)`` times that of its root, in nats. It is
            not 0 after a rewrite whose function does not sum to one.
    """

    variables: tuple[Variable, ...]
    kind: Int
    units: Int
    pointer: Int
    operands: Int
    family: Int
    variable: Int
    weight: Int
    root: int
    weights: WeightTable
    names: Mapping[int, str] = field(default_factory=dict[int, str])
    location: Int | None = None
    locations: tuple[str, ...] = ()
    sectors: Sectors | None = None
    generator: Generator | None = None
    log_scale: float = 0.0

    def __post_init__(self) -> None:
        for name in ("kind", "units", "pointer", "operands", "family", "variable", "weight"):
            object.__setattr__(self, name, ints(getattr(self, name)))
        owners = np.repeat(np.arange(self.num_nodes), self.fan_in)
        if (self.operands >= owners).any() or (self.operands < 0).any():
            node = int(owners[(self.operands >= owners) | (self.operands < 0)][0])
            raise CircuitError.of(
                "PC108",
                f"node {self.label(node)} uses an operand that is not declared before it",
                location=self.where(node),
                help="number the nodes so that operands come first; a circuit has no cycles",
            )

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def num_nodes(self) -> int:
        """Number of (vector) nodes."""
        return len(self.kind)

    @cached_property
    def fan_in(self) -> Int:
        """Shape ``(nodes,)``, number of operands of each node."""
        return np.diff(self.pointer)

    def operands_of(self, node: int) -> Int:
        """The operands of ``node``, in order."""
        return self.operands[self.pointer[node] : self.pointer[node + 1]]

    def edges_of(self, nodes: Int) -> Int:
        """Positions in ``operands`` of all operands of ``nodes``, node by node."""
        return ranges(self.pointer[nodes], self.fan_in[nodes])

    def family_of(self, node: int | np.integer[Any]) -> Family:
        """The family of an input."""
        return Family(int(self.family[node]))

    def label(self, node: int) -> str:
        """The node as in the text form: ``%name`` or ``%id``."""
        return f"%{self.names.get(node, node)}"

    def where(self, node: int) -> str | None:
        """``file:line`` of the declaration, if known."""
        if self.location is None or self.location[node] < 0:
            return None
        return self.locations[int(self.location[node])]
