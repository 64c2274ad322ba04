"""Layered drawings of directed graphs: depths, bends of long edges, order within a depth.

Follows Sugiyama, Tagawa and Toda (1981), "Methods for Visual Understanding of Hierarchical System
Structures": layers, dummy nodes on long edges, barycentre sweeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Float, Int, ranges, segments

COUNTABLE = 1_000
"""The most edges between two depths for which crossings are counted (pair by pair)."""


@dataclass(frozen=True, eq=False)
class Layers:
    """A graph whose edges only connect neighbouring depths.

    Attributes:
        depth: Shape ``(points,)``; the nodes come first, then the bends.
        upper: Shape ``(pieces,)``; the points at the upper ends of the pieces of edges.
        lower: Shape ``(pieces,)``; the points at the lower ends.
        bends: Shape ``(edges + 1,)``; edge e bends at points ``nodes + bends[e] ...``.
        nodes: Number of nodes.
    """

    depth: Int
    upper: Int
    lower: Int
    bends: Int
    nodes: int


def find_depths(nodes: int, upper: Int, lower: Int) -> Int:
    """Shape ``(nodes,)``: the longest distance of each node from a root."""
    order = np.argsort(upper, kind="stable")
    pointer = segments(np.bincount(upper, minlength=nodes))
    below = lower[order]
    waiting = np.bincount(lower, minlength=nodes)
    depth = np.zeros(nodes, np.int64)
    frontier = np.flatnonzero(waiting == 0)
    level = 0
    while len(frontier):
        depth[frontier] = level
        lengths = pointer[frontier + 1] - pointer[frontier]
        reached, times = np.unique(below[ranges(pointer[frontier], lengths)], return_counts=True)
        waiting[reached] -= times
        frontier = reached[waiting[reached] == 0]
        level += 1
    return depth


def make_layers(nodes: int, upper: Int, lower: Int) -> Layers:
    """Bend long edges at each depth between their ends; leave them out if they are too many."""
    depth = find_depths(nodes, upper, lower)
    inner = depth[lower] - depth[upper] - 1
    if inner.sum() > 4 * nodes + 2_000:
        short = inner == 0
        return Layers(depth, upper[short], lower[short], np.zeros(len(upper) + 1, np.int64), nodes)
    bends = segments(inner)
    points = nodes + np.arange(int(bends[-1]))
    edge = np.repeat(np.arange(len(upper)), inner)
    place = points - nodes - bends[edge]
    first = np.where(inner > 0, nodes + bends[:-1], lower)
    follows = np.where(place + 1 < inner[edge], points + 1, lower[edge])
    return Layers(
        np.concatenate([depth, depth[upper][edge] + 1 + place]),
        np.concatenate([upper, points]),
        np.concatenate([first, follows]),
        bends,
        nodes,
    )


@dataclass(frozen=True, eq=False)
class Rows:
    """Points by depth, and the pieces of edges below each depth."""

    members: list[Int]
    uppers: list[Int]
    lowers: list[Int]

    def walk(self, *, down: bool) -> Iterator[tuple[int, Int, Int, Int]]:
        """Each row except the first: its number, its members, and the edges to the row before.

        Edges are two arrays of points: those in the row itself, and those in the row before.
        """
        last = len(self.members) - 1
        for row in range(1, last + 1) if down else range(last - 1, -1, -1):
            above = row - 1 if down else row
            near, far = self.lowers[above], self.uppers[above]
            yield row, self.members[row], *((near, far) if down else (far, near))

    @classmethod
    def of(cls, layers: Layers, order: Int) -> Rows:
        """Rows in the given order of all points."""
        by_depth = order[np.argsort(layers.depth[order], kind="stable")]
        ends = segments(np.bincount(layers.depth))[1:-1]
        pieces = np.argsort(layers.depth[layers.upper], kind="stable")
        counts = np.bincount(layers.depth[layers.upper], minlength=len(ends) + 1)
        cuts = segments(counts)[1:-1]
        return cls(
            np.split(by_depth, ends),
            np.split(layers.upper[pieces], cuts),
            np.split(layers.lower[pieces], cuts),
        )


def order_rows(layers: Layers, sweeps: int) -> Rows:
    """Rows in an order with few crossings."""
    rows = Rows.of(layers, _first_order(layers))
    position = np.zeros(len(layers.depth))
    for members in rows.members:
        position[members] = np.arange(len(members))
    best, fewest = [m.copy() for m in rows.members], _crossings(rows, position)
    for sweep in range(sweeps):
        if fewest == 0:
            break
        _sweep(rows, position, down=sweep % 2 == 0)
        crossings = _crossings(rows, position)
        if crossings is None or fewest is None or crossings < fewest:
            best, fewest = [m.copy() for m in rows.members], crossings
    return Rows(best, rows.uppers, rows.lowers)


def _sweep(rows: Rows, position: Float, *, down: bool) -> None:
    """Sort each row by the mean position of its neighbours in the row before."""
    for _, members, near, far in rows.walk(down=down):
        wanted = means(position, members, near, far)
        members[:] = members[np.argsort(wanted, kind="stable")]
        position[members] = np.arange(len(members))


def means(position: Float, members: Int, near: Int, far: Int) -> Float:
    """Mean position of the neighbours ``far`` of each member; its own if it has no neighbours."""
    slot = np.zeros(len(position), np.int64) if len(members) > 64 else None
    if slot is None:
        order = np.argsort(members)
        index = order[np.searchsorted(members[order], near)]
    else:
        slot[members] = np.arange(len(members))
        index = slot[near]
    total = np.bincount(index, weights=position[far], minlength=len(members))
    number = np.bincount(index, minlength=len(members))
    return np.where(number > 0, total / np.maximum(number, 1), position[members])


def _first_order(layers: Layers) -> Int:
    """All points in the order of a depth-first walk from the roots."""
    size = len(layers.depth)
    order = np.argsort(layers.upper, kind="stable")
    pointer = segments(np.bincount(layers.upper, minlength=size)).tolist()
    below = layers.lower[order].tolist()
    has_upper = np.zeros(size, np.bool_)
    has_upper[layers.lower] = True
    stack = np.flatnonzero(~has_upper)[::-1].tolist()
    seen = [False] * size
    walk: list[int] = []
    while stack:
        point = stack.pop()
        if not seen[point]:
            seen[point] = True
            walk.append(point)
            stack.extend(reversed(below[pointer[point] : pointer[point + 1]]))
    return np.array(walk, np.int64)


def _crossings(rows: Rows, position: Float) -> int | None:
    """Number of crossing pairs of pieces; ``None`` if there are too many to count."""
    if max((len(u) for u in rows.uppers), default=0) > COUNTABLE or len(rows.uppers) > COUNTABLE:
        return None
    total = 0
    for upper, lower in zip(rows.uppers, rows.lowers, strict=True):
        a, b = position[upper], position[lower]
        crossed: NDArray[np.bool_] = (a[:, None] < a) & (b[:, None] > b)
        total += int(crossed.sum())
    return total
