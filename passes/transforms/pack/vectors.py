"""A partition of a circuit's scalar nodes into vectors, and how sums read them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Int, ranges, segments
from pccompiler.passes.transforms.pack.refine import Shape

Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Vectors:
    """A partition of the nodes into vectors.

    Attributes:
        shape: The shape of the circuit.
        of: Shape ``(nodes,)``, each node's class, numbered so that operands come first.
        sizes: Shape ``(classes,)``, the number of members.
        unit: Shape ``(nodes,)``, each node's place in its class.
        first: Shape ``(classes,)``, the lowest member, whose operands set the vector's order.
        kronecker: Shape ``(classes,)``, whether a class is a Kronecker product.
    """

    shape: Shape
    of: Int
    sizes: Int
    unit: Int
    first: Int
    kronecker: Bool

    @cached_property
    def _ordered(self) -> tuple[Int, Int]:
        """All nodes class by class in the order of units, and where each class begins."""
        return np.lexsort([self.unit, self.of]), segments(self.sizes)

    def members(self, number: int) -> Int:
        """The nodes of a class, in the order of units."""
        nodes, start = self._ordered
        return nodes[start[number] : start[number + 1]]


def new_columns(vectors: Vectors, node: int) -> tuple[list[int], Int]:
    """A sum's operands as classes, and its old columns in the new order."""
    circuit = vectors.shape.circuit
    below = circuit.operands_of(node)
    numbers, unit = vectors.of[below], vectors.unit[below]
    if len(numbers) > 1 and bool((numbers == numbers[0]).all()):  # units of one vector
        return [int(numbers[0])], np.argsort(unit)
    distinct, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    sequence = np.argsort(first)
    rank = np.empty(len(sequence), np.int64)
    rank[sequence] = np.arange(len(sequence))
    widths = circuit.units[below]
    order = np.lexsort([unit, rank[inverse]])
    return distinct[sequence].tolist(), ranges(segments(widths)[:-1][order], widths[order])


def columns_of(vectors: Vectors, number: int) -> list[Int]:
    """For each member of a class of sums, its old columns in the order of the vector's operands."""
    members = vectors.members(number)
    leader = int(vectors.first[number])
    _, columns = new_columns(vectors, leader)
    if not vectors.shape.dense[leader] or len(members) == 1:
        return [columns] * len(members)
    wanted = _inputs(vectors.shape.circuit, leader)[columns]
    found: list[Int] = []
    for node in members.tolist():
        given = _inputs(vectors.shape.circuit, node)
        order = np.argsort(given)
        found.append(order[np.searchsorted(given[order], wanted)])
    return found


def _inputs(circuit: Circuit, node: int) -> Int:
    """An id for each unit that a sum reads, in the order of its columns."""
    below = circuit.operands_of(node)
    widths = circuit.units[below]
    first = np.repeat(below * (int(widths.max()) + 1), widths)
    return first + ranges(np.zeros_like(widths), widths)


def weight_key(vectors: Vectors, number: int) -> bytes:
    """A key that is equal for vectors that can share a weight."""
    members = vectors.members(number)
    circuit = vectors.shape.circuit
    parts = [circuit.weight[members]]
    if circuit.kind[members[0]] != Kind.INPUT:
        parts += columns_of(vectors, number)
    return np.concatenate(parts).tobytes()
