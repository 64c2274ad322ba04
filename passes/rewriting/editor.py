"""Edits a circuit: redirects, drops and adds edges and nodes, then rebuilds it once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float, Int, segments
from pccompiler.ir.circuit import select
from pccompiler.ir.node_table import WeightTable
from pccompiler.ir.sectors import partition_again
from pccompiler.ir.topology import reachable

Bool = NDArray[np.bool_]


class Draft:
    """A mutable copy of a circuit's columns; `finish` builds the new circuit.

    Old nodes keep their ids until `finish`; new nodes get higher ids. Nodes that the root does not
    depend on in the end are dropped, and so are weights that lose all their users.

    Attributes:
        alias: Shape ``(nodes,)``; the node that replaces each node, initially itself.
        keep: Shape ``(edges,)``; whether each of the old circuit's edges stays.
        operands: Shape ``(edges,)``, the old circuit's edges, which may be redirected.
        root: The node that becomes the root.
        place: After `finish`: each node's id in the new circuit, -1 if it was dropped.
    """

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.kind = circuit.kind.copy()
        self.units = circuit.units.copy()
        self.weight = circuit.weight.copy()
        self.family = circuit.family.copy()
        self.variable = circuit.variable.copy()
        self.operands = circuit.operands.copy()
        self.keep: Bool = np.ones(len(self.operands), np.bool_)
        self.alias = np.arange(circuit.num_nodes)
        self.root = circuit.root
        self.place = self.alias
        self.changed = False
        self._tables: list[Float | None] = []
        self._shapes: list[tuple[int, int]] = []
        self._heirs: dict[int, int] = {}
        self._new: list[tuple[int, int, int, int, int, int]] = []
        self._edges: list[tuple[int, Sequence[int]]] = []

    def set_weight(self, node: int, table: Float) -> int:
        """Give ``node`` its own weight with these values; returns the weight's id."""
        self.weight[node] = self.add_weight(table, heir_of=int(self.weight[node]))
        self.changed = True
        return int(self.weight[node])

    def add_weight(
        self,
        table: Float | None,
        shape: tuple[int, int] | None = None,
        *,
        heir_of: int | None = None,
    ) -> int:
        """Add a weight with values, or with a shape only; returns its id.

        It inherits the name of the old weight ``heir_of``, if that is no longer used in the end.
        """
        known = shape or (0, 0) if table is None else (table.shape[0], table.shape[1])
        self._tables.append(table)
        self._shapes.append(known)
        if heir_of is not None:
            self._heirs.setdefault(heir_of, len(self.circuit.weights) + len(self._tables) - 1)
        return len(self.circuit.weights) + len(self._tables) - 1

    def values(self, weight: int) -> Float | None:
        """Given values of a weight, old or new."""
        number = weight - len(self.circuit.weights)
        return self.circuit.weights.values.get(weight) if number < 0 else self._tables[number]

    def set_operands(self, node: int, operands: Sequence[int]) -> None:
        """Replace the operands of an old node."""
        start, stop = self.circuit.pointer[node : node + 2].tolist()
        self.keep[start:stop] = False
        self._edges.append((node, operands))
        self.changed = True

    def redirect(self, node: int, target: int) -> None:
        """Use ``target`` instead of ``node`` everywhere."""
        self.alias[node] = target
        self.changed = True

    def add(
        self,
        kind: Kind,
        units: int,
        operands: Sequence[int] = (),
        *,
        before: int,
        weight: int = -1,
        family: int = -1,
        variable: int = -1,
    ) -> int:
        """Add a node before the old node ``before``; returns its id."""
        node = self.circuit.num_nodes + len(self._new)
        self._new.append((kind, units, weight, family, variable, before))
        if len(operands):
            self._edges.append((node, operands))
        self.changed = True
        return node

    def finish(self, **changes: Any) -> Circuit:
        """The new circuit; the old one if nothing changed. ``changes`` are fields of `Circuit`."""
        if not (self.changed or changes) and self.keep.all() and self._same_operands():
            return self.circuit
        old = self.circuit
        new = np.array(self._new, np.int64).reshape(-1, 6)
        anchor = np.concatenate([np.arange(old.num_nodes), new[:, 5]])
        late = np.concatenate([np.ones(old.num_nodes, np.int64), np.zeros(len(new), np.int64)])
        order = np.lexsort([np.arange(len(anchor)), late, anchor])
        new_id = np.empty(len(order), np.int64)
        new_id[order] = np.arange(len(order))
        alias = self._resolved(len(order))
        owner, below = self._all_edges()
        owner, below = new_id[owner], new_id[alias[below]]
        by_owner = np.argsort(owner, kind="stable")
        columns = {
            name: np.concatenate([getattr(self, name), new[:, place]])[order]
            for place, name in enumerate(("kind", "units", "weight", "family", "variable"))
        }
        result = old.replace(
            **columns,
            pointer=segments(np.bincount(owner, minlength=len(order))),
            operands=below[by_owner],
            root=int(new_id[alias[self.root]]),
            names={int(new_id[node]): name for node, name in old.names.items()},
            location=self._locations(anchor[order]),
            weights=self.weight_table(),
            sectors=None,
            **{"generator": None, **changes},
        )
        alive = reachable(result)
        self.place = np.where(alive, np.cumsum(alive) - 1, -1)[new_id]
        return self._restored(result, select(result, alive), alive, changes)

    def _restored(
        self, whole: Circuit, result: Circuit, alive: Bool, changes: dict[str, Any]
    ) -> Circuit:
        """``result``, the reachable part of ``whole``, with the old sectors and generator."""
        if "generator" in changes:
            return result
        old = self.circuit
        place = np.full(len(whole.weights) + 1, -1)
        place[whole.weight[alive]] = result.weight
        place[-1] = -1
        given = np.flatnonzero((old.weight >= 0) & (self.weight != old.weight) & self._lives())
        changed = np.zeros(len(old.weights), np.bool_)
        changed[old.weight[given]] = True
        result = partition_again(old, result, place[: len(old.weights)], changed)
        return result.replace(generator=old.generator)

    def _lives(self) -> Bool:
        """Which of the old nodes are in the new circuit."""
        return self.place[: self.circuit.num_nodes] >= 0

    def _same_operands(self) -> bool:
        return np.array_equal(self.operands, self.circuit.operands)

    def _locations(self, anchor: Int) -> Int | None:
        """Each node's location; a new node takes that of the node it was made for."""
        location = self.circuit.location
        return None if location is None else location[np.minimum(anchor, len(location) - 1)]

    def _resolved(self, size: int) -> Int:
        alias = np.concatenate([self.alias, np.arange(self.circuit.num_nodes, size)])
        while (alias[alias] != alias).any():
            alias = alias[alias]
        return alias

    def _all_edges(self) -> tuple[Int, Int]:
        old = self.circuit
        owner = np.repeat(np.arange(old.num_nodes), old.fan_in)[self.keep]
        owners = [np.full(len(below), node) for node, below in self._edges]
        added = [np.asarray(below, np.int64) for _, below in self._edges]
        return (
            np.concatenate([owner, *owners]),
            np.concatenate([self.operands[self.keep], *added]),
        )

    def weight_table(self) -> WeightTable:
        """All weights, old and new."""
        old = self.circuit.weights
        shapes = np.array(self._shapes, np.int64).reshape(-1, 2)
        first = len(old)
        fresh = {first + i: t for i, t in enumerate(self._tables) if t is not None}
        return WeightTable(
            np.concatenate([old.rows, shapes[:, 0]]),
            np.concatenate([old.columns, shapes[:, 1]]),
            self._names(),
            {**old.values, **fresh},
        )

    def _names(self) -> dict[int, str]:
        used = set(self.weight.tolist()) | {row[2] for row in self._new}
        names = self.circuit.weights.names.items()
        return {w if w in used else self._heirs.get(w, w): name for w, name in names}
