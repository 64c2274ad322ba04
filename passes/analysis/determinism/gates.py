"""The support of each unit (where it is not zero), as a circuit of logic gates.

Whether a unit is zero depends on each variable only through finitely many *classes* of values: the
states of a discrete variable; zero and positive for a count; the bins of a real variable, and the
rest of the line. A leaf unit is a set of classes, a product an AND, a sum an OR over the operands
whose weight is not 0. Equal leaves share a gate, and so do units with equal rows of operands.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Kind, Variable
from pccompiler.ir.arrays import Int, ranges, segments
from pccompiler.ir.kinds import is_product
from pccompiler.ir.topology import by_level
from pccompiler.passes.analysis.determinism.leaves import LeafSets, leaf_sets
from pccompiler.passes.analysis.determinism.unit_graph import (
    Rows,
    Weighing,
    distinct_rows,
    sum_rows,
    unit_rows,
)

Bool = NDArray[np.bool_]
FALSE = 0
"""The gate that is never true."""
LEAF, AND, OR = 0, 1, 2
_CHUNK = 2_000_000
"""Units and operands of one level that are processed together, to bound memory."""


@dataclass(frozen=True, eq=False)
class Gates:
    """Gates; operands come before their gate. Gate 0 is always false.

    Attributes:
        variables: Variables of the circuit.
        kind: Shape (gates,): `LEAF`, `AND` or `OR`.
        pointer: Shape (gates + 1,); gate i has ``operands[pointer[i]:pointer[i + 1]]``.
        operands: Gate ids.
        level: Shape (gates,): 0 for leaves, otherwise above the levels of the operands.
        node: Shape (gates,): a node of the circuit that has the gate as a unit; -1 for gate 0.
        unit: Shape (gates,): which unit of ``node``.
        leaf_set: Shape (gates,): row of ``sets``, -1 for other gates.
        sets: The sets of classes.
        scope: Shape (gates,): row of the circuit's scope table.
    """

    variables: tuple[Variable, ...]
    kind: Int
    pointer: Int
    operands: Int
    level: Int
    node: Int
    unit: Int
    leaf_set: Int
    sets: LeafSets
    scope: Int

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def fan_in(self) -> Int:
        """Shape (gates,): operands of each gate."""
        return np.diff(self.pointer)

    def operands_of(self, gate: int) -> Int:
        """The operands of ``gate``."""
        return self.operands[self.pointer[gate] : self.pointer[gate + 1]]

    @cached_property
    def levels(self) -> list[Int]:
        """The gates of each level except the lowest."""
        order = np.argsort(self.level, kind="stable")
        return np.split(order, segments(np.bincount(self.level))[1:-1])[1:]

    def restrict(self, roots: Int) -> tuple[Gates, Int]:
        """The gates that ``roots`` depend on with gate 0, and the old id of each."""
        keep = np.zeros(len(self), np.bool_)
        keep[FALSE] = True
        frontier = roots
        while len(frontier):
            keep[frontier] = True
            edges = ranges(self.pointer[frontier], self.fan_in[frontier])
            below = np.unique(self.operands[edges])
            frontier = below[~keep[below]]
        old = np.flatnonzero(keep)
        new = np.cumsum(keep) - 1
        edges = ranges(self.pointer[old], self.fan_in[old])
        part = Gates(
            self.variables,
            self.kind[old],
            segments(self.fan_in[old]),
            new[self.operands[edges]],
            self.level[old],
            self.node[old],
            self.unit[old],
            self.leaf_set[old],
            self.sets,
            self.scope[old],
        )
        return part, old


def find_gates(circuit: Circuit) -> tuple[Gates, Int]:
    """The gates of ``circuit``, and the gate of each of its units.

    Args:
        circuit: Structurally valid, but not necessarily smooth or decomposable. Weights without
            values count as positive, leaves without values as positive everywhere.
    """
    work = _Work(circuit)
    for nodes in by_level(circuit.levels):
        for some in _chunks(circuit, nodes):
            kind = circuit.kind[some]
            work.inputs(some[kind == Kind.INPUT])
            inner = is_product(kind)
            for rows in unit_rows(circuit, work.offset, some[inner]):
                work.add(AND, rows)
            for rows in sum_rows(circuit, work.offset, some[~inner], work.weighing):
                work.add(OR, rows)
    return work.gates(), work.gate_of


def _chunks(circuit: Circuit, nodes: Int) -> Iterator[Int]:
    cost = np.cumsum(circuit.units[nodes] * np.maximum(circuit.fan_in[nodes], 1))
    cuts = np.flatnonzero(np.diff(cost // _CHUNK)) + 1
    yield from np.split(nodes, cuts)


class _Work:
    """The gates so far."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.offset = segments(circuit.units)[:-1]
        self.gate_of = np.full(int(circuit.units.sum()), FALSE)
        self.weighing = Weighing.of(circuit)
        self.sets = leaf_sets(circuit)
        self.leaves: dict[int, int] = {}
        self.parts: list[tuple[Int, Int, Int, Int, Int, Int]] = []
        self.flat: list[Int] = []
        self.size = 0
        none = np.array([-1])
        self.append(np.array([LEAF]), np.array([0]), none, none, none, np.zeros(0, np.int64))

    def append(
        self, kind: Int, lengths: Int, node: Int, unit: Int, leaf_set: Int, flat: Int
    ) -> Int:
        """Add gates; returns their ids."""
        ids = self.size + np.arange(len(kind))
        level = np.where(node < 0, 0, self.circuit.levels[node])
        self.parts.append((kind, lengths, node, unit, leaf_set, level))
        self.flat.append(flat)
        self.size += len(kind)
        return ids

    def inputs(self, nodes: Int) -> None:
        """Add leaves: one gate for each set of classes of a variable."""
        if not len(nodes):
            return
        units = ranges(self.offset[nodes], self.circuit.units[nodes])
        sets = self.sets.of_unit[units]
        distinct, first, inverse = np.unique(sets, return_index=True, return_inverse=True)
        gate = np.array([self.leaves.get(s, -1) for s in distinct.tolist()], np.int64)
        gate[distinct < 0] = FALSE  # a leaf that is 0 everywhere
        fresh = np.flatnonzero(gate < 0)
        owner = np.repeat(nodes, self.circuit.units[nodes])[first[fresh]]
        count = len(fresh)
        gate[fresh] = self.append(
            np.full(count, LEAF),
            np.zeros(count, np.int64),
            owner,
            units[first[fresh]] - self.offset[owner],
            distinct[fresh],
            np.zeros(0, np.int64),
        )
        self.leaves.update(zip(distinct[fresh].tolist(), gate[fresh].tolist(), strict=True))
        self.gate_of[units] = gate[inverse]

    def add(self, kind: int, rows: Rows) -> None:
        """Add gates for rows of operand units; constants are folded, equal rows share a gate."""
        flat, lengths = self.gate_of[rows.flat], rows.lengths
        if kind == OR:
            flat, lengths = _drop_false(flat, lengths)
            false = lengths == 0
        else:
            false = _any_false(flat, lengths)
        result = np.full(len(lengths), FALSE)
        starts = segments(lengths)[:-1]
        single = np.flatnonzero((lengths == 1) & ~false)
        result[single] = flat[starts[single]]
        many = np.flatnonzero((lengths > 1) & ~false)
        if len(many):
            length = lengths[many]
            inner = flat[ranges(starts[many], length)]
            first, inverse = distinct_rows(inner, length)
            chosen = many[first]
            made = self.append(
                np.full(len(chosen), kind),
                lengths[chosen],
                rows.node[chosen],
                rows.unit[chosen],
                np.full(len(chosen), -1),
                flat[ranges(starts[chosen], lengths[chosen])],
            )
            result[many] = made[inverse]
        rows.give(self.gate_of, self.offset, self.circuit.units, result)

    def gates(self) -> Gates:
        """All gates added so far."""
        kind, lengths, node, unit, leaf_set, level = (
            np.concatenate(column) for column in zip(*self.parts, strict=True)
        )
        scope = np.where(node < 0, 0, self.circuit.scopes.index[node])
        return Gates(
            self.circuit.variables,
            kind,
            segments(lengths),
            np.concatenate(self.flat),
            level,
            node,
            unit,
            leaf_set,
            self.sets,
            scope,
        )


def _drop_false(flat: Int, lengths: Int) -> tuple[Int, Int]:
    keep = flat != FALSE
    if keep.all():
        return flat, lengths
    row = np.repeat(np.arange(len(lengths)), lengths)
    return flat[keep], np.bincount(row[keep], minlength=len(lengths))


def _any_false(flat: Int, lengths: Int) -> Bool:
    row = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(row[flat == FALSE], minlength=len(lengths)) > 0
