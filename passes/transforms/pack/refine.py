"""Groups scalar nodes into candidate vectors by partition refinement, up and down the circuit.

Two nodes can be units of one vector only if they have the same shape below and the same readers
above, both up to the vectors found. Labels start from a node's own properties, and are refined by
the labels of operands and readers, level by level, until their number stays the same. Labels are
64-bit hashes, so `pccompiler.passes.transforms.pack.find` verifies the classes before use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir.arrays import Int, hash_rows, mix64, ranges, segments
from pccompiler.ir.kinds import is_product
from pccompiler.ir.topology import by_level

Bool = NDArray[np.bool_]
Labels = NDArray[np.uint64]
_SWEEPS = 12
"""The most sweeps up and down; the verification rejects classes that have not settled by then."""


@dataclass(frozen=True, eq=False)
class Shape:
    """What the refinement needs to know about a circuit.

    Attributes:
        circuit: The circuit.
        free: Shape ``(nodes,)``, nodes that may become units of a vector.
        dense: Shape ``(nodes,)``, sums over a set of operands, which may come in any order.
        owner: Shape ``(edges,)``, the reader of each edge.
        slot: Shape ``(edges,)``, the place of the operand where the order matters, otherwise 0.
        by_operand: Shape ``(edges,)``, the edges in the order of `Consumers.nodes`.
        start: Shape ``(nodes,)``, the initial labels.
    """

    circuit: Circuit
    free: Bool
    dense: Bool
    owner: Int
    slot: Int
    by_operand: Int
    start: Labels

    @property
    def lanes(self) -> Bool:
        """Shape ``(nodes,)``, sums that may become units of a mixture."""
        result: Bool = (self.circuit.kind == Kind.SUM) & ~self.dense
        return result

    def with_dense(self, nodes: Bool) -> Shape:
        """The shape with the sums ``nodes`` as dense sums, each in a class of its own."""
        start = self.start.copy()
        places = np.flatnonzero(nodes)
        start[places] = mix64(start[places] ^ mix64(places.astype(np.uint64) + np.uint64(1)))
        slot = np.where(nodes[self.owner], 0, self.slot)
        return replace(self, dense=self.dense | nodes, slot=slot, start=start)


def find_shape(circuit: Circuit) -> Shape:
    """The shape of ``circuit``, from each node's own properties."""
    owner = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    place = np.arange(len(owner)) - circuit.pointer[owner]
    kind, units = circuit.kind, circuit.units
    repeats = _repeats(circuit, owner)
    hard = (kind == Kind.MIXTURE) | is_product(kind) & (kind != Kind.PRODUCT) | repeats
    hard |= (kind == Kind.PRODUCT) & (circuit.fan_in < 2)
    free = (units == 1) & ~hard & (circuit.family != Family.INDICATOR)
    free[circuit.operands[hard[owner]]] = False
    free[circuit.root] = False
    digest = _operand_sets(circuit)
    dense = (kind == Kind.SUM) & (~free | _occurs_twice(digest, free & (kind == Kind.SUM)))
    lanes = (kind == Kind.SUM) & ~dense
    given = np.zeros(len(circuit.weights) + 1, np.int64)
    given[list(circuit.weights.values)] = 1
    columns = np.concatenate([circuit.weights.columns, [0]])[circuit.weight]
    words = [
        kind,
        circuit.scopes.index,
        circuit.family,
        circuit.fan_in,
        circuit.levels,
        given[circuit.weight],
        columns,
        np.where(dense, digest.view(np.int64), 0),
        np.where(free, -1, np.arange(circuit.num_nodes)),
    ]
    start = hash_rows(np.stack(words, axis=1).astype(np.int64).view(np.uint64))
    slot = np.where(lanes[owner], place + 1, 0)
    by_operand = np.argsort(circuit.operands, kind="stable")
    return Shape(circuit, free, dense, owner, slot, by_operand, start)


def refine(shape: Shape, broken: Bool) -> Int:
    """Shape ``(nodes,)``: a class for each node, numbered from 0 by its highest node.

    Args:
        shape: The shape of the circuit.
        broken: Nodes that must be alone in their class.
    """
    labels = shape.start.copy()
    alone = np.flatnonzero(broken)
    labels[alone] = mix64(labels[alone] ^ mix64(alone.astype(np.uint64) + np.uint64(1)))
    levels = by_level(shape.circuit.levels)
    number = -1
    for _ in range(_SWEEPS):
        found = _count(labels)
        if found == number or found == len(labels):
            break
        number = found
        for nodes in reversed(levels[:-1]):
            _look_up(shape, labels, nodes)
        for nodes in levels[1:]:
            _look_down(shape, labels, nodes)
    _, inverse = np.unique(labels, return_inverse=True)
    highest = np.zeros(int(inverse.max()) + 1, np.int64)
    np.maximum.at(highest, inverse, np.arange(len(inverse)))
    rank = np.empty(len(highest), np.int64)
    rank[np.argsort(highest)] = np.arange(len(highest))
    return rank[inverse]


def _count(labels: Labels) -> int:
    """Number of distinct labels."""
    ranked = np.sort(labels)
    return 1 + int((ranked[1:] != ranked[:-1]).sum())


def _look_up(shape: Shape, labels: Labels, nodes: Int) -> None:
    """Refine by the readers' labels, regardless of order."""
    readers = shape.circuit.consumers
    lengths = readers.pointer[nodes + 1] - readers.pointer[nodes]
    edges = shape.by_operand[ranges(readers.pointer[nodes], lengths)]
    seen = mix64(labels[shape.owner[edges]] ^ mix64(shape.slot[edges].astype(np.uint64)))
    labels[nodes] = mix64(labels[nodes] ^ mix64(_totals(seen, lengths)))


def _look_down(shape: Shape, labels: Labels, nodes: Int) -> None:
    """Refine by the operands' labels; for dense sums, the initial labels already include them."""
    nodes = nodes[~shape.dense[nodes]]
    lengths = shape.circuit.fan_in[nodes]
    edges = ranges(shape.circuit.pointer[nodes], lengths)
    seen = mix64(labels[shape.circuit.operands[edges]] ^ mix64(shape.slot[edges].astype(np.uint64)))
    labels[nodes] = mix64(labels[nodes] ^ mix64(_totals(seen, lengths) ^ np.uint64(1)))


def _totals(values: Labels, lengths: Int) -> Labels:
    """Sums of segments, modulo 2^64."""
    totals = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values, out=totals[1:])
    pointer = segments(lengths)
    return totals[pointer[1:]] - totals[pointer[:-1]]


def _operand_sets(circuit: Circuit) -> Labels:
    """A hash of each node's set of operands."""
    return mix64(_totals(mix64(circuit.operands.astype(np.uint64)), circuit.fan_in))


def _occurs_twice(digest: Labels, where: Bool) -> Bool:
    result = np.zeros(len(digest), np.bool_)
    places = np.flatnonzero(where)
    _, inverse, counts = np.unique(digest[places], return_inverse=True, return_counts=True)
    result[places] = counts[inverse] > 1
    return result


def _repeats(circuit: Circuit, owner: Int) -> Bool:
    """Nodes that have an operand twice."""
    order = np.lexsort([circuit.operands, owner])
    below, above = circuit.operands[order], owner[order]
    twice = (below[1:] == below[:-1]) & (above[1:] == above[:-1])
    result = np.zeros(circuit.num_nodes, np.bool_)
    result[above[1:][twice]] = True
    return result
