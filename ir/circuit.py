"""The circuit: its columns, and properties derived from them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Float, Int, first_uses, segments
from pccompiler.ir.families import Family
from pccompiler.ir.kinds import Kind
from pccompiler.ir.names import ALPHABET, is_name
from pccompiler.ir.node_table import NodeTable, WeightTable
from pccompiler.ir.scopes import Scopes, find_scopes
from pccompiler.ir.statistics import Statistics, count
from pccompiler.ir.text.printer import to_text
from pccompiler.ir.topology import Consumers, by_level, find_consumers, find_levels
from pccompiler.ir.variables import Variable
from pccompiler.showing import Table, as_html, brief

_LISTED = 12
"""The most variables in the table of a notebook."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Circuit(NodeTable):
    """An immutable circuit. Build one with `Builder`, `parse` or a structure.

    Its columns are the attributes of `NodeTable`; everything below is derived from them. Drawing
    is above the IR, and only loaded when a picture is asked for.
    """

    def __str__(self) -> str:
        return self.statistics.summary()

    def __repr__(self) -> str:
        counts = {"variables": len(self.variables), "nodes": self.num_nodes}
        return brief(self, {**counts, "units": int(self.units.sum()), "edges": len(self.operands)})

    def _repr_html_(self) -> str:
        """HTML for notebooks: a picture, and the variables."""
        picture = import_module("pccompiler.drawing").inline_svg(self)
        return as_html(repr(self), [_variables(self.variables)], picture)

    def to_graphviz(self) -> str:
        """The circuit in DOT, the language of Graphviz.

        Raises:
            OptionError: If it has more than 50,000 nodes.
        """
        return str(import_module("pccompiler.drawing").as_text(self, ".dot"))

    def to_mermaid(self) -> str:
        """The circuit as a Mermaid flowchart.

        Mermaid itself draws at most 500 edges unless its configuration raises ``maxEdges``.

        Raises:
            OptionError: If it has more than 50,000 nodes.
        """
        return str(import_module("pccompiler.drawing").as_text(self, ".mmd"))

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

    @cached_property
    def levels(self) -> Int:
        """Shape ``(nodes,)``: 0 for inputs, otherwise one more than the highest operand."""
        return find_levels(self, self.consumers)

    @cached_property
    def consumers(self) -> Consumers:
        """The nodes that use each node."""
        return find_consumers(self)

    @cached_property
    def scopes(self) -> Scopes:
        """The set of variables under each node, interned."""
        return find_scopes(self, by_level(self.levels))

    @cached_property
    def statistics(self) -> Statistics:
        """The basic counts of the circuit."""
        return count(self, int(self.levels.max(initial=0)))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the text form without weight values, as hexadecimal digits."""
        return hashlib.sha256(to_text(self, values=False).encode()).hexdigest()

    def with_values(self, values: Mapping[int, Float]) -> Circuit:
        """The circuit with ``values``, weight id to table, as its given weights."""
        table = self.weights
        return self.replace(weights=WeightTable(table.rows, table.columns, table.names, values))

    def replace(self, **changes: Any) -> Circuit:
        """A copy with some fields changed (any field, hence ``Any``).

        Cached facts about the nodes are kept if only annotations change.
        """
        result = replace(self, **changes)
        if changes.keys() <= {"sectors", "generator", "log_scale"}:
            known = ("fan_in", "levels", "consumers", "scopes", "statistics")
            result.__dict__.update({k: self.__dict__[k] for k in known if k in self.__dict__})
        return result

    def rename(self, names: Mapping[str, str]) -> Circuit:
        """The circuit with new names for some variables: ``{"x1": "rain"}``.

        Raises:
            OptionError: If a variable is unknown, a name is invalid, or two would be the same.
        """
        old = [variable.name for variable in self.variables]
        unknown = [name for name in names if name not in old]
        new = [names.get(name, name) for name in old]
        if unknown:
            raise OptionError.of(
                "PC854",
                f"the circuit has no variable {unknown[0]!r} to rename",
                help="use its names: " + ", ".join(old[:8]) + (", ..." if len(old) > 8 else ""),
            )
        wrong = [name for name in new if not is_name(name) or new.count(name) > 1]
        if wrong:
            why = "two variables would have it" if is_name(wrong[0]) else "it is invalid"
            raise OptionError.of(
                "PC854",
                f"a variable cannot get the name {wrong[0]!r}: {why}",
                help=f"give each variable a name of its own, of {ALPHABET}",
            )
        pairs = zip(self.variables, new, strict=True)
        return self.replace(variables=tuple(v if v.name == n else v.renamed(n) for v, n in pairs))


def _variables(variables: Sequence[Variable]) -> Table:
    rows = [(variable.name, str(variable)) for variable in variables[:_LISTED]]
    more = len(variables) - len(rows)
    return Table(("variable", "domain"), rows, [f"{more:,} more variables"] * (more > 0))


def select(circuit: Circuit, keep: NDArray[np.bool_]) -> Circuit:
    """The circuit with only the nodes in ``keep``, a mask closed under operands; ids are packed.

    Unused weights are dropped too, and so are sectors and generator: partition again.
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
    """Shape ``(nodes,)``: parameters per unit of each input; 0 for other nodes."""
    result = np.zeros(circuit.num_nodes, np.int64)
    inputs = np.flatnonzero(circuit.kind == Kind.INPUT)
    pairs = np.stack([circuit.family[inputs], circuit.variable[inputs]], axis=1)
    distinct, inverse = np.unique(pairs, axis=0, return_inverse=True)
    needed = [Family(f).columns(circuit.variables[v]) for f, v in distinct.tolist()]
    result[inputs] = np.array(needed, np.int64)[inverse.ravel()]
    return result
