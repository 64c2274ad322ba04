"""The circuit: the mathematical object, as columns.

Node ids are ``0 ... num_nodes - 1``, and every operand has a smaller id than its node. A *unit* is
a scalar output; a node is a vector of units over one scope.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import CircuitError
from pccompiler.ir.arrays import Int, first_uses, floats, ints, ranges, segments
from pccompiler.ir.families import Family
from pccompiler.ir.generators import Generator, Sectors
from pccompiler.ir.kinds import Kind
from pccompiler.ir.scopes import Scopes, find_scopes
from pccompiler.ir.statistics import Statistics, count
from pccompiler.ir.topology import Consumers, find_consumers, find_levels
from pccompiler.ir.variables import Variable

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WeightTable:
    """The named parameters that nodes refer to.

    Attributes:
        rows: Shape ``(weights,)``; the units of the node that owns the weight.
        columns: Shape ``(weights,)``; fan-in of a sum, parameters a unit of an input.
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
        """The weight as the text form writes it: ``@name`` or ``@id``."""
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
class Circuit:
    """An immutable circuit. Build one with `Builder`, `parse` or a structure.

    Attributes:
        variables: The columns of the data, in order.
        kind: Shape ``(nodes,)``, `Kind` values.
        units: Shape ``(nodes,)``, width of each node.
        pointer: Shape ``(nodes + 1,)``; node i's operands are
            ``operands[pointer[i]:pointer[i + 1]]``.
        operands: Shape ``(edges,)``, node ids.
        family: Shape ``(nodes,)``, `Family` values of inputs, else -1; see `family_of`.
        variable: Shape ``(nodes,)``, variable index of inputs, else -1.
        weight: Shape ``(nodes,)``, weight id of sums and parametric inputs, else -1.
        root: The node that is the circuit's value.
        weights: The parameters that ``weight`` refers to.
        names: Node id to name, for the nodes that have one.
        location: Shape ``(nodes,)``, index into ``locations`` of the declaring source line, or -1.
        locations: ``file:line`` texts.
        sectors: The partition of sum weights, once a pass has made it.
        generator: How sum weights come to be, once a pass has said it.
        log_scale: The circuit's value is ``exp(log_scale)`` times that of its root, in nats. Not 0
            where a rewrite made a function that does not sum to one.
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

    def __str__(self) -> str:
        return self.statistics.summary()

    def __eq__(self, other: object) -> bool:
        """Whether both are the same circuit; source locations do not count."""
        if not isinstance(other, Circuit):
            return NotImplemented
        columns = ("kind", "units", "pointer", "operands", "family", "variable", "weight")
        scalars = ("variables", "root", "weights", "sectors", "generator", "log_scale")
        return (
            all(np.array_equal(getattr(self, c), getattr(other, c)) for c in columns)
            and all(getattr(self, s) == getattr(other, s) for s in scalars)
            and dict(self.names) == dict(other.names)
        )

    __hash__ = None  # type: ignore[assignment]  # circuits are compared by content

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

    def label(self, node: int) -> str:
        """The node as the text form writes it: ``%name`` or ``%id``."""
        return f"%{self.names.get(node, node)}"

    def where(self, node: int) -> str | None:
        """``file:line`` of the declaration, where known."""
        if self.location is None or self.location[node] < 0:
            return None
        return self.locations[int(self.location[node])]

    def family_of(self, node: int | np.integer[Any]) -> Family:
        """The family of an input."""
        return Family(int(self.family[node]))

    @cached_property
    def levels(self) -> Int:
        """Shape ``(nodes,)``: 0 for inputs, else one more than the highest operand."""
        return find_levels(self)

    @cached_property
    def consumers(self) -> Consumers:
        """The nodes that use each node."""
        return find_consumers(self)

    @cached_property
    def scopes(self) -> Scopes:
        """The set of variables under each node, interned."""
        return find_scopes(self)

    @cached_property
    def statistics(self) -> Statistics:
        """Counts that people ask for first."""
        return count(self)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the text form without weight values, as hexadecimal digits."""
        from pccompiler.ir.text.printer import to_text

        return hashlib.sha256(to_text(self, values=False).encode()).hexdigest()

    def with_values(self, values: Mapping[int, Float]) -> Circuit:
        """The circuit with ``values``, weight id to table, as its given weights."""
        table = self.weights
        return self.replace(weights=WeightTable(table.rows, table.columns, table.names, values))

    def replace(self, **changes: Any) -> Circuit:
        """A copy with some fields changed (any field, hence ``Any``).

        What has been found out about the nodes is kept where only annotations change.
        """
        result = replace(self, **changes)
        if changes.keys() <= {"sectors", "generator", "log_scale"}:
            known = ("fan_in", "levels", "consumers", "scopes", "statistics")
            result.__dict__.update({k: self.__dict__[k] for k in known if k in self.__dict__})
        return result


def select(circuit: Circuit, keep: NDArray[np.bool_]) -> Circuit:
    """The circuit with only the nodes in ``keep``, a mask closed under operands; ids are packed.

    Weights that lose all their users go too. Sectors and generator are dropped: partition anew.
    """
    nodes = np.flatnonzero(keep)
    new_id = np.cumsum(keep) - 1
    owned = circuit.weight[nodes]
    used = first_uses(owned[owned >= 0])  # as the parser numbers them
    new_weight = np.full(len(circuit.weights) + 1, -1)
    new_weight[used] = np.arange(len(used))
    table = circuit.weights
    return circuit.replace(
        kind=circuit.kind[nodes],
        units=circuit.units[nodes],
        pointer=segments(circuit.fan_in[nodes]),
        operands=new_id[circuit.operands[circuit.edges_of(nodes)]],
        family=circuit.family[nodes],
        variable=circuit.variable[nodes],
        weight=new_weight[circuit.weight[nodes]],
        root=int(new_id[circuit.root]),
        names={int(new_id[n]): name for n, name in circuit.names.items() if keep[n]},
        location=None if circuit.location is None else circuit.location[nodes],
        weights=WeightTable(
            table.rows[used],
            table.columns[used],
            {int(new_weight[w]): name for w, name in table.names.items() if new_weight[w] >= 0},
            {int(new_weight[w]): v for w, v in table.values.items() if new_weight[w] >= 0},
        ),
        sectors=None,
        generator=None,
    )


def input_columns(circuit: Circuit) -> Int:
    """Shape ``(nodes,)``: parameters a unit of each input; 0 for other nodes."""
    result = np.zeros(circuit.num_nodes, np.int64)
    inputs = np.flatnonzero(circuit.kind == Kind.INPUT)
    pairs = np.stack([circuit.family[inputs], circuit.variable[inputs]], axis=1)
    distinct, inverse = np.unique(pairs, axis=0, return_inverse=True)
    needed = [Family(f).columns(circuit.variables[v]) for f, v in distinct.tolist()]
    result[inputs] = np.array(needed, np.int64)[inverse.ravel()]
    return result
