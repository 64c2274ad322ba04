"""Decides which nodes are computed together: the first step of lowering.

Nodes of the same level, kind and shape form a layer. If most nodes have one unit (as in circuits
from knowledge compilers and learners), fan-ins are ragged and levels mix kinds, which would give
very many small layers. In that case a layer takes one-unit sums of any fan-in, and levels are
chosen so that sums and products alternate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Int, hash_rows, ranges, segments
from pccompiler.ir.topology import by_level, reachable

Bool = NDArray[np.bool_]


def fold(circuit: Circuit, group_of: Int) -> tuple[list[Int], Bool, bool]:
    """Sets of nodes that are computed together, lowest level first, the root alone and last.

    Args:
        circuit: The circuit to lower.
        group_of: Shape ``(weights,)``, each weight's group.

    Returns:
        The sets; whether each node is a row of a ragged layer; whether the plan is packed.
    """
    alive = reachable(circuit)
    live = np.flatnonzero(alive)
    live = live[live != circuit.root]
    none = np.zeros_like(alive)
    plain = _split(live, circuit.levels[live], _key(circuit, group_of, none)[live])
    root = np.array([circuit.root])
    if not _prevails(circuit, alive):
        return [*plain, root], none, False
    ragged = alive & one_unit_sums(circuit)
    key = _key(circuit, group_of, ragged)[live]
    packed = min(
        (_split(live, levels[live], key) for levels in (circuit.levels, alternating(circuit))),
        key=len,
    )
    if len(packed) < len(plain) or _shared(circuit, alive):
        return [*packed, root], ragged, True
    return [*plain, root], none, False


def one_unit_sums(circuit: Circuit) -> Bool:
    """Shape ``(nodes,)``: sums of one unit whose operands all have one unit."""
    sums = ((circuit.kind == Kind.SUM) | (circuit.kind == Kind.MIXTURE)) & (circuit.units == 1)
    wide = np.flatnonzero(circuit.units[circuit.operands] > 1)
    sums[np.searchsorted(circuit.pointer, wide, side="right") - 1] = False
    result: Bool = sums & (circuit.fan_in > 0)
    return result


def alternating(circuit: Circuit) -> Int:
    """Levels above all operands' levels: inputs at 0, sums at odd levels, products at even ones."""
    odd = ((circuit.kind == Kind.SUM) | (circuit.kind == Kind.MIXTURE)).astype(np.int64)
    levels = np.zeros(circuit.num_nodes, np.int64)
    for nodes in by_level(circuit.levels)[1:]:
        lengths = circuit.fan_in[nodes]
        below = levels[circuit.operands[ranges(circuit.pointer[nodes], lengths)]]
        least = np.maximum.reduceat(below, segments(lengths)[:-1]) + 1
        levels[nodes] = least + ((least + odd[nodes]) & 1)
    return levels


def _prevails(circuit: Circuit, alive: Bool) -> bool:
    """Whether at least half of the nodes above the inputs have one unit."""
    inner = alive & (circuit.kind != Kind.INPUT)
    return 2 * int((inner & (circuit.units == 1)).sum()) >= int(inner.sum())


def _shared(circuit: Circuit, alive: Bool) -> bool:
    """Whether some node above the inputs has several consumers, so that operands are gathered."""
    edges = circuit.operands[circuit.edges_of(np.flatnonzero(alive))]
    inner = edges[circuit.kind[edges] != Kind.INPUT]
    return bool((np.bincount(inner, minlength=1) > 1).any())


def _key(circuit: Circuit, group_of: Int, ragged: Bool) -> Int:
    """Shape ``(nodes, words)``: what the nodes of a layer have in common, apart from the level."""
    elementwise = circuit.kind == Kind.PRODUCT  # any arity folds: operands are equally wide
    free = elementwise | ragged
    group = np.full(circuit.num_nodes, -1)
    owners = circuit.weight >= 0
    group[owners] = group_of[circuit.weight[owners]]
    group[ragged] = -2
    return np.stack(
        [
            circuit.kind,
            circuit.units,
            circuit.family,
            group,
            np.where(free, 0, circuit.fan_in),
            np.where(free, 0, _width_hash(circuit)),
        ],
        axis=1,
    )


def _split(live: Int, levels: Int, key: Int) -> list[Int]:
    """``live`` in sets of equal level and key, sorted by level and first node."""
    if not len(live):
        return []
    hashes = hash_rows(np.column_stack([levels, key]).astype(np.uint64))
    _, inverse = np.unique(hashes, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    cuts = np.cumsum(np.bincount(inverse))[:-1]
    places = np.split(order, cuts)
    places.sort(key=lambda place: (int(levels[place[0]]), int(live[place[0]])))
    return [live[place] for place in places]


def _width_hash(circuit: Circuit) -> Int:
    """A hash of each node's sequence of operand widths."""
    position = np.arange(len(circuit.operands)) - np.repeat(circuit.pointer[:-1], circuit.fan_in)
    pairs = np.stack([position, circuit.units[circuit.operands]], axis=1).astype(np.uint64)
    totals = np.zeros(len(circuit.operands) + 1, np.uint64)
    np.cumsum(hash_rows(pairs), out=totals[1:])
    return (totals[circuit.pointer[1:]] - totals[circuit.pointer[:-1]]).astype(np.int64)
