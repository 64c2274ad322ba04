"""Finds classes of scalar nodes that form vectors, verifies them and orders their units.

A class of products is elementwise if each member takes a unit of its own from every operand's
class, and all units are taken; it is a Kronecker product if the members take every combination. A
class of sums is dense if its members share their operands, and these are whole classes; it is a
mixture if each member takes a unit of its own from every operand's class. Elementwise classes tie
the order of their units to that of their operands: tied nodes form a lane. A class that fails is
broken up, and the search starts again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Int, first_uses, hash_rows
from pccompiler.passes.transforms.pack.refine import Shape, find_shape, refine
from pccompiler.passes.transforms.pack.vectors import Bool, Vectors, weight_key

_ROUNDS = 32


def find_vectors(circuit: Circuit) -> Vectors | None:
    """The vectors among the scalar nodes of ``circuit``; ``None`` if there are none."""
    shape = find_shape(circuit)
    broken = np.zeros(circuit.num_nodes, np.bool_)
    for _ in range(_ROUNDS):
        of = refine(shape, broken)
        sizes = np.bincount(of)
        alone = shape.lanes & (sizes[of] == 1)
        if alone.any():  # not a unit of a mixture, but perhaps a sum over vectors
            shape, broken = shape.with_dense(alone), np.zeros_like(broken)
            continue
        if int(sizes.max()) == 1:
            return None
        check = _Check(shape, of, sizes)
        bad = check.run()
        if not bad.any():
            return check.vectors()
        broken |= bad[of]
    return None


class _Check:
    """Checks one partition."""

    def __init__(self, shape: Shape, of: Int, sizes: Int) -> None:
        self.shape, self.of, self.sizes = shape, of, sizes
        self.circuit = shape.circuit
        self.bad: Bool = np.zeros(len(sizes), np.bool_)
        self.kronecker: Bool = np.zeros(len(sizes), np.bool_)
        self.tied: Bool = np.zeros(len(sizes), np.bool_)
        self.lane = np.arange(self.circuit.num_nodes)

    def run(self) -> Bool:
        """Shape ``(classes,)``: which classes fail."""
        vector = self.sizes[self.of] > 1
        kind = self.circuit.kind
        self.products(np.flatnonzero(vector & (kind == Kind.PRODUCT)))
        self.mixtures(np.flatnonzero(vector & self.shape.lanes))
        self.dense(np.flatnonzero(vector & self.shape.dense))
        self.readers(vector)
        if not self.bad.any():
            self.lanes()
        if not self.bad.any():
            self.shared_weights()
        return self.bad

    def products(self, nodes: Int) -> None:
        """Products must be elementwise or Kronecker."""
        for table in self.tables(nodes):
            operands = np.take_along_axis(table.operands, np.argsort(self.of[table.operands]), 1)
            fits = table.same(self.of[operands])
            widths = self.sizes[self.of[operands[table.starts]]]
            one_each = fits & self.one_each(table, operands, widths)
            whole = table.distinct(hash_rows(operands.astype(np.uint64))) == table.sizes
            grid = fits & whole & (widths.astype(np.float64).prod(axis=1) == table.sizes)
            self.tied[table.numbers[one_each]] = True
            self.kronecker[table.numbers[grid & ~one_each]] = True
            self.bad[table.numbers[~one_each & ~grid]] = True

    def mixtures(self, nodes: Int) -> None:
        """Unit by unit."""
        for table in self.tables(nodes):
            widths = self.sizes[self.of[table.operands[table.starts]]]
            fits = table.same(self.of[table.operands])
            fits &= self.one_each(table, table.operands, widths)
            self.tied[table.numbers[fits]] = True
            self.bad[table.numbers[~fits]] = True

    def dense(self, nodes: Int) -> None:
        """Members of a dense sum must have the same operands, in any order."""
        for table in self.tables(nodes):
            self.bad[table.numbers[~table.same(np.sort(table.operands, axis=1))]] = True

    def one_each(self, table: _Table, operands: Int, widths: Int) -> Bool:
        """Whether the members together take every unit of every operand exactly once."""
        result: Bool = (widths == table.sizes[:, None]).all(axis=1)
        for column in operands.T:
            result &= table.distinct(column.astype(np.uint64)) == table.sizes
        return result

    def readers(self, vector: Bool) -> None:
        """Scalar products and mixtures must read scalars, and dense sums whole vectors."""
        circuit, owner = self.circuit, self.shape.owner
        below = circuit.operands
        scalar = vector[below] & ~vector[owner] & ~self.shape.dense[owner]
        self.bad[self.of[below[scalar]]] = True
        edges = np.flatnonzero(vector[below] & self.shape.dense[owner])
        if len(edges):
            pairs = np.stack([owner[edges], self.of[below[edges]]], axis=1)
            distinct, counts = np.unique(pairs, axis=0, return_counts=True)
            self.bad[distinct[counts != self.sizes[distinct[:, 1]], 1]] = True

    def lanes(self) -> None:
        """Tie nodes into lanes; a class may have at most one node in each."""
        edges = np.flatnonzero(self.tied[self.of[self.shape.owner]])
        above, below = self.shape.owner[edges], self.circuit.operands[edges]
        self.lane = _components(self.circuit.num_nodes, above, below)
        twice = np.zeros(self.circuit.num_nodes, np.bool_)
        order = np.lexsort([self.lane, self.of])
        again = (np.diff(self.of[order]) == 0) & (np.diff(self.lane[order]) == 0)
        twice[self.lane[order[1:]][again]] = True
        nodes = np.flatnonzero(twice[self.lane] & self.tied[self.of])
        self.bad[self.of[nodes]] = True
        grid = self.kronecker[self.of[below]]  # the grid sets their order
        self.bad[self.of[below[grid]]] = True

    def units(self) -> Int:
        """Each node's place in its class: by lane, or by the grid of a Kronecker product."""
        order = np.lexsort([self.lane, self.of])
        starts = np.cumsum(self.sizes) - self.sizes
        unit = np.empty(len(order), np.int64)
        unit[order] = np.arange(len(order)) - starts[self.of[order]]
        for number in np.flatnonzero(self.kronecker).tolist():
            members = order[starts[number] : starts[number] + self.sizes[number]]
            unit[members] = self.grid_places(members, unit)
        return unit

    def grid_places(self, members: Int, unit: Int) -> Int:
        """Places of Kronecker members, with operands in the order of the first member's."""
        circuit = self.circuit
        sequence = self.of[circuit.operands_of(int(members.min()))]
        below = circuit.operands[circuit.edges_of(members)].reshape(len(members), -1)
        classes = self.of[below]
        place = np.zeros(len(members), np.int64)
        for number in sequence.tolist():
            column = below[np.arange(len(members)), np.argmax(classes == number, axis=1)]
            place = place * self.sizes[number] + unit[column]
        return place

    def shared_weights(self) -> None:
        """Nodes that share a weight must belong to vectors that can share a weight."""
        weight = self.circuit.weight
        counts = np.bincount(weight[weight >= 0], minlength=len(self.circuit.weights))
        shared = (weight >= 0) & (counts[weight] > 1)
        if not shared.any():
            return
        vectors = self.vectors()
        keys: dict[int, bytes] = {}
        for number in first_uses(self.of[shared]).tolist():
            key = weight_key(vectors, number)
            for own in weight[vectors.members(number)].tolist():
                if keys.setdefault(own, key) != key:
                    self.part(own)

    def part(self, weight: int) -> None:
        """Break up the vectors that use a weight, and the vectors that they read."""
        users = np.flatnonzero(self.circuit.weight == weight)
        below = self.of[self.circuit.operands[self.circuit.edges_of(users)]]
        self.bad[self.of[users]] |= self.sizes[self.of[users]] > 1
        self.bad[below] |= self.sizes[below] > 1

    def vectors(self) -> Vectors:
        """The result."""
        first = np.full(len(self.sizes), len(self.of))
        np.minimum.at(first, self.of, np.arange(len(self.of)))
        unit = self.units()
        return Vectors(self.shape, self.of, self.sizes, unit, first, self.kronecker)

    def tables(self, nodes: Int) -> list[_Table]:
        """Nodes and their operands, class by class, in one table for each arity."""
        fan_in = self.circuit.fan_in[nodes]
        tables: list[_Table] = []
        for arity in np.unique(fan_in).tolist():
            mine = nodes[fan_in == arity]
            mine = mine[np.argsort(self.of[mine], kind="stable")]
            below = self.circuit.operands[self.circuit.edges_of(mine)].reshape(len(mine), -1)
            tables.append(_Table(self.of[mine], below))
        return tables


class _Table:
    """Operands of all members of some classes, shape ``(nodes, arity)``, class by class."""

    def __init__(self, of: Int, operands: Int) -> None:
        self.operands = operands
        self.starts = np.flatnonzero(np.concatenate([[True], of[1:] != of[:-1]]))
        self.sizes = np.diff(np.concatenate([self.starts, [len(of)]]))
        self.numbers = of[self.starts]
        self.place = np.repeat(np.arange(len(self.starts)), self.sizes)

    def same(self, rows: Int) -> Bool:
        """Whether all rows of a class are equal."""
        equal = (rows == rows[self.starts][self.place]).all(axis=1)
        result: Bool = np.logical_and.reduceat(equal, self.starts)
        return result

    def distinct(self, values: NDArray[np.uint64]) -> Int:
        """Number of distinct values in each class."""
        pairs = np.stack([self.place.astype(np.uint64), values], axis=1)
        order = np.lexsort(pairs.T[::-1])
        ranked = pairs[order]
        new = np.concatenate([[True], (ranked[1:] != ranked[:-1]).any(axis=1)])
        return np.bincount(ranked[new, 0].astype(np.int64), minlength=len(self.starts))


def _components(number: int, left: Int, right: Int) -> Int:
    """For each node, the lowest node of its connected component."""
    label = np.arange(number)
    while True:
        low = np.minimum(label[left], label[right])
        before = label.copy()
        np.minimum.at(label, label[left], low)
        np.minimum.at(label, label[right], low)
        label = label[label]
        label = label[label]
        if np.array_equal(label, before):
            return label
