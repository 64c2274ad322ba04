"""Structured decomposability: a vtree that all products respect, or products that conflict."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Int
from pccompiler.ir.kinds import SUMS
from pccompiler.ir.scopes import members
from pccompiler.ir.topology import reachable
from pccompiler.passes.analysis.vtrees.build import Build, Node, Split, TooMuchWorkError
from pccompiler.passes.analysis.vtrees.partitions import Partitions, partitions
from pccompiler.passes.analysis.vtrees.vtree import Vtree
from pccompiler.passes.check.rule import edges

__all__ = ["Structure", "Vtree", "structure"]
MOST_STEPS = 3_000_000
"""Limit of the search in circuits that are not smooth; a few seconds."""
_MOST_COMPARED = 20_000


@dataclass(frozen=True)
class Structure:
    """Whether a circuit is structured decomposable.

    Attributes:
        vtree: A tree that all products respect, if there is one.
        culprits: If there is none, two products (or more, if the circuit is not smooth) that no
            tree allows together. Empty if the budget ran out.
    """

    vtree: Vtree | None
    culprits: tuple[int, ...] = ()


def structure(circuit: Circuit, *, most_steps: int = MOST_STEPS) -> Structure:
    """Find a tree that all products respect.

    A product respects a tree if, after restricting the tree to the product's scope, each of its
    parts is the set of variables under one node. A smooth circuit has such a tree if and only if
    no two scopes under its root cross, that is, overlap without one containing the other.

    Args:
        circuit: Decomposable, but not necessarily smooth.
        most_steps: Limit of the search if the circuit is not smooth.

    Source:
        Pipatsrisawat and Darwiche (2008), "New Compilation Languages Based on Structured
        Decomposability"; Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit
        Operations", section 2.
    """
    owner, below = edges(circuit, SUMS)
    index = circuit.scopes.index
    if (index[owner] == index[below]).all():
        return _by_nesting(circuit)
    return _by_building(circuit, most_steps)


def _by_nesting(circuit: Circuit) -> Structure:
    """For a smooth circuit: build scopes from small to large, each from whole smaller ones.

    A tree over n variables has at most 2n - 1 scopes, so a crossing is found after at most 2n.
    """
    live = np.unique(circuit.scopes.index[reachable(circuit)])
    table = circuit.scopes.table
    sizes = np.bitwise_count(table[live]).sum(axis=1, dtype=np.int64)
    top = np.full(len(circuit.variables), -1)
    nodes: list[Node] = []
    held: list[int] = []  # variables under each node
    row_of: list[int] = []
    for row in live[np.argsort(sizes, kind="stable")].tolist():
        inside = members(table[row])
        below = np.unique(top[inside])
        if len(inside) == 1 and below[0] < 0:
            nodes.append(int(inside[0]))
        elif len(below) > 1:
            wrong = _sticking_out(below, top[inside], held)
            if wrong is not None:
                return Structure(None, _crossing(circuit, row, row_of[wrong]))
            nodes.append(below.tolist())
        else:
            continue
        top[inside] = len(nodes) - 1
        held.append(len(inside))
        row_of.append(row)
    return Structure(Vtree.of(nodes))


def _sticking_out(below: Int, tops: Int, held: list[int]) -> int | None:
    """A node of the tree with variables both inside and outside a scope."""
    inside = np.bincount(np.searchsorted(below, tops)).tolist()
    pairs = zip(below.tolist(), inside, strict=True)
    return next((node for node, number in pairs if held[node] != number), None)


def _crossing(circuit: Circuit, one: int, other: int) -> tuple[int, int]:
    """Two products that show a crossing; preferably they split the same scope differently."""
    splits = partitions(circuit)
    pair = _same_scope(splits)
    if pair is not None:
        return pair
    owner = np.repeat(np.arange(len(splits)), np.diff(splits.pointer))
    found: list[int] = []
    for row in (one, other):
        having = owner[splits.parts == row]
        having = having if len(having) else np.flatnonzero(splits.scope == row)
        found.append(int(splits.node[having[0]]))
    return found[0], found[1]


def _same_scope(splits: Partitions) -> tuple[int, int] | None:
    """Two products over the same scope whose parts cross; small scopes are tried first."""
    groups: dict[int, list[int]] = defaultdict(list)
    for place, row in enumerate(splits.scope.tolist()):
        groups[row].append(place)
    several = [group for group in groups.values() if len(group) > 1]
    several.sort(key=lambda group: splits.bits[int(splits.scope[group[0]])].bit_count())
    compared = 0
    for group in several:
        for place, b in enumerate(group):
            for a in group[:place]:
                compared += 1
                if compared > _MOST_COMPARED:
                    return None
                if _cross(splits.masks(a), splits.masks(b)):
                    return int(splits.node[a]), int(splits.node[b])
    return None


def _cross(left: Sequence[int], right: Sequence[int]) -> bool:
    return any(x & y and x & ~y and y & ~x for x in left for y in right)


def _by_building(circuit: Circuit, most_steps: int) -> Structure:
    """For a circuit that is not smooth."""
    splits = partitions(circuit)
    parts: list[Split] = [tuple(splits.masks(i)) for i in range(len(splits))]
    inputs = circuit.variable[reachable(circuit) & (circuit.kind == Kind.INPUT)]
    used = sum(1 << v for v in np.unique(inputs).tolist())
    build = Build(most_steps)
    try:
        nodes = build.tree(used, parts)
        if nodes is not None:
            return Structure(Vtree.of(nodes))
        culprits = build.conflict(used, parts)
    except TooMuchWorkError:
        return Structure(None)
    return Structure(None, tuple(sorted(int(splits.node[i]) for i in culprits)))
