"""Units and the units that they read, as rows, from which gates are made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Int, mix64, ranges, segments
from pccompiler.ir.kinds import PRODUCTS, SUMS

Bool = NDArray[np.bool_]


class Rows(NamedTuple):
    """Some units and their operands.

    Attributes:
        node: Shape (rows,), the node of each row.
        unit: Shape (rows,), the unit of the node.
        whole: Whether each row stands for all units of its node.
        lengths: Shape (rows,), number of operands.
        flat: All operands, as positions among all units of the circuit.
    """

    node: Int
    unit: Int
    whole: bool
    lengths: Int
    flat: Int

    def give(self, target: Int, offset: Int, units: Int, values: Int) -> None:
        """Write each row's value to its units."""
        if self.whole:
            width = units[self.node]
            target[ranges(offset[self.node], width)] = np.repeat(values, width)
        else:
            target[offset[self.node] + self.unit] = values


class Weighing(NamedTuple):
    """Which entries of weights are 0.

    Attributes:
        start: Shape (weights,); where a weight's entries start in ``positive``; -1 if none is 0.
        positive: Whether each entry is not 0, for all given weights one after the other.
    """

    start: Int
    positive: Bool

    @classmethod
    def of(cls, circuit: Circuit) -> Weighing:
        """The zeros in the weights of ``circuit``'s sums; weights without values have none."""
        start = np.full(len(circuit.weights), -1)
        owned = np.unique(circuit.weight[np.isin(circuit.kind, SUMS)])
        given = [(w, circuit.weights.values.get(w)) for w in owned.tolist()]
        known = [(w, table) for w, table in given if table is not None]
        if not known:
            return cls(start, np.zeros(0, np.bool_))
        ids = np.array([w for w, _ in known], np.int64)
        flat = np.concatenate([table.ravel() for _, table in known]) != 0.0
        begins = segments(np.array([table.size for _, table in known], np.int64))[:-1]
        zeros = ~np.logical_and.reduceat(flat, begins)
        start[ids[zeros]] = begins[zeros]
        return cls(start, flat)


def unit_rows(circuit: Circuit, offset: Int, nodes: Int) -> Iterator[Rows]:
    """Rows of products."""
    kind = circuit.kind[nodes]
    plain = nodes[kind == Kind.PRODUCT]
    if len(plain):
        yield _paired(circuit, offset, plain)
    for other in PRODUCTS:
        mine = nodes[(kind == other) & (other != Kind.PRODUCT)]
        for arity in np.unique(circuit.fan_in[mine]).tolist():
            yield from _products(circuit, offset, other, mine[circuit.fan_in[mine] == arity])


def sum_rows(circuit: Circuit, offset: Int, nodes: Int, weighing: Weighing) -> Iterator[Rows]:
    """Rows of sums; operands of weight 0 are left out."""
    nodes = nodes[np.isin(circuit.kind[nodes], SUMS)]
    dense = circuit.kind[nodes] == Kind.SUM
    has_zero = weighing.start[circuit.weight[nodes]] >= 0
    mixtures = nodes[~dense]
    if len(mixtures):
        rows = _paired(circuit, offset, mixtures)
        yield _weighed(circuit, rows, circuit.fan_in, weighing)
    full = nodes[dense & ~has_zero]
    if len(full):
        yield _dense(circuit, offset, full, np.zeros_like(full), whole=True)
    holed = nodes[dense & has_zero]
    if len(holed):
        node, unit = _units(circuit, holed)
        rows = _dense(circuit, offset, node, unit, whole=False)
        yield _weighed(circuit, rows, None, weighing)


def _units(circuit: Circuit, nodes: Int) -> tuple[Int, Int]:
    width = circuit.units[nodes]
    return np.repeat(nodes, width), ranges(np.zeros_like(width), width)


def _paired(circuit: Circuit, offset: Int, nodes: Int) -> Rows:
    """Unit u reads unit u of each operand."""
    node, unit = _units(circuit, nodes)
    lengths = circuit.fan_in[node]
    below = circuit.operands[circuit.edges_of(node)]
    return Rows(node, unit, False, lengths, offset[below] + np.repeat(unit, lengths))


def _products(circuit: Circuit, offset: Int, kind: int, nodes: Int) -> Iterator[Rows]:
    """Nodes of one kind and fan-in, those with operands of the same widths at once."""
    below = circuit.operands[circuit.edges_of(nodes)].reshape(len(nodes), -1)
    distinct, inverse = np.unique(circuit.units[below], axis=0, return_inverse=True)
    for number, widths in enumerate(distinct.tolist()):
        mine = inverse.ravel() == number
        node, unit = _units(circuit, nodes[mine])
        flat = offset[below[mine]][:, None] + PRODUCTS[kind].places(widths)
        yield Rows(node, unit, False, circuit.fan_in[node], flat.ravel())


def _dense(circuit: Circuit, offset: Int, node: Int, unit: Int, *, whole: bool) -> Rows:
    """Each row reads all units of all operands."""
    below = circuit.operands[circuit.edges_of(node)]
    width = circuit.units[below]
    starts = segments(circuit.fan_in[node])[:-1]
    lengths = np.add.reduceat(width, starts)
    return Rows(node, unit, whole, lengths, ranges(offset[below], width))


def _weighed(circuit: Circuit, rows: Rows, columns: Int | None, weighing: Weighing) -> Rows:
    """The rows without the operands of weight 0."""
    lengths = rows.lengths if columns is None else columns[rows.node]
    start = weighing.start[circuit.weight[rows.node]]
    row = np.repeat(np.arange(len(lengths)), lengths)
    column = ranges(np.zeros_like(lengths), lengths)
    keep = np.ones(len(row), np.bool_)
    known = np.flatnonzero(start[row] >= 0)
    place = start[row[known]] + rows.unit[row[known]] * lengths[row[known]] + column[known]
    keep[known] = weighing.positive[place]
    if keep.all():
        return rows
    kept = np.bincount(row[keep], minlength=len(lengths))
    return rows._replace(lengths=kept, flat=rows.flat[keep])


def distinct_rows(flat: Int, lengths: Int) -> tuple[Int, Int]:
    """The first row of each set of equal rows (as multisets), and the set of each row.

    Rows are compared by two independent 64-bit hashes.
    """
    starts = segments(lengths)[:-1]
    words = flat.astype(np.uint64)
    with np.errstate(over="ignore"):
        one = np.add.reduceat(mix64(words + np.uint64(0x9E3779B97F4A7C15)), starts)
        two = np.add.reduceat(mix64(mix64(words) ^ np.uint64(0xD1B54A32D192ED03)), starts)
    keys = np.empty(len(lengths), [("a", np.uint64), ("b", np.uint64), ("n", np.int64)])
    keys["a"], keys["b"], keys["n"] = one, two, lengths
    order = np.lexsort((two, one, lengths))
    changed = np.ones(len(order), np.bool_)
    ordered = keys[order]
    changed[1:] = ordered[1:] != ordered[:-1]
    group = np.cumsum(changed) - 1
    inverse = np.empty(len(order), np.int64)
    inverse[order] = group
    return order[changed], inverse
