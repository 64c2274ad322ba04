"""Compatibility: whether two circuits can be multiplied efficiently."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pccompiler.ir import Circuit
from pccompiler.ir.scopes import members
from pccompiler.passes.analysis.vtrees.partitions import partitions
from pccompiler.passes.rewriting.factor import groups

MOST_PAIRS = 1_000_000
"""The most pairs of splits that are compared."""


@dataclass(frozen=True)
class Compatibility:
    """Whether two circuits are compatible.

    Attributes:
        holds: The answer; ``None`` if the budget ran out.
        culprits: If it is no, a product of each circuit that cannot be multiplied together.
    """

    holds: bool | None
    culprits: tuple[int, int] | None = None


class _Item(NamedTuple):
    """One side of a multiplication: all nodes of a scope, or some parts of a split."""

    scope: int
    """Row of the scope table; -1 for parts of a split."""
    parts: tuple[int, ...] = ()
    """Rows of the scope table."""
    node: int = -1
    """The product that has the parts."""


class _Side:
    """One circuit's splits, with scopes as bit sets over the variables of both circuits."""

    def __init__(self, circuit: Circuit, place: dict[str, int]) -> None:
        found = partitions(circuit)
        bits = np.array([place[variable.name] for variable in circuit.variables])
        self.root = _Item(int(circuit.scopes.index[circuit.root]))
        self.scopes = [sum(1 << int(b) for b in bits[members(row)]) for row in circuit.scopes.table]
        self.splits: dict[int, list[_Item]] = defaultdict(list)
        for place_, (scope, node) in enumerate(
            zip(found.scope.tolist(), found.node.tolist(), strict=True)
        ):
            self.splits[scope].append(_Item(-1, tuple(found.parts_of(place_).tolist()), node))

    def of(self, item: _Item) -> list[_Item]:
        """The splits of an item."""
        return [item] if item.scope < 0 else self.splits[item.scope]

    def some(self, split: _Item, chosen: list[int]) -> _Item:
        """Some parts of a split."""
        rows = tuple(split.parts[i] for i in chosen)
        return _Item(rows[0]) if len(rows) == 1 else _Item(-1, rows, split.node)


def compatibility(left: Circuit, right: Circuit, *, most_pairs: int = MOST_PAIRS) -> Compatibility:
    """Decide whether two circuits can be multiplied in time proportional to the product of sizes.

    Variables with the same name are the same variable. From the roots down, each split of a scope
    is paired with each split of its counterpart. Parts that overlap, directly or through others,
    are multiplied together, so one of the circuits must have a single part among them.

    Args:
        left: Smooth and decomposable.
        right: Likewise.
        most_pairs: The most pairs of splits to compare.

    Source:
        Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations", section 2.
    """
    names = dict.fromkeys(v.name for circuit in (left, right) for v in circuit.variables)
    place = {name: i for i, name in enumerate(names)}
    mine, other = _Side(left, place), _Side(right, place)
    start = (mine.root, other.root)
    seen, stack = {start}, [start]
    while stack:
        one, two = stack.pop()
        for x in mine.of(one):
            for y in other.of(two):
                most_pairs -= 1
                if most_pairs < 0:
                    return Compatibility(None)
                scopes = [mine.scopes[i] for i in x.parts], [other.scopes[j] for j in y.parts]
                for lefts, rights in groups(*scopes):
                    if len(lefts) > 1 and len(rights) > 1:
                        return Compatibility(False, (x.node, y.node))
                    if lefts and rights:
                        pair = (mine.some(x, lefts), other.some(y, rights))
                        if pair not in seen:
                            seen.add(pair)
                            stack.append(pair)
    return Compatibility(True)


def compatible(left: Circuit, right: Circuit) -> tuple[int, int] | None:
    """Two products, one of each circuit, that cannot be multiplied; ``None`` if none was found."""
    return compatibility(left, right).culprits
