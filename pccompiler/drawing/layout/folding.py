"""Folds a deep drawing into columns side by side, as newspapers do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pccompiler.drawing.layout.placing import Placed
from pccompiler.ir.arrays import Float, Int, ranges

CORRIDOR = 46.0
"""Pixels between columns, for the edges that lead from the foot of one to the head of the next."""
LANES, LANE = 8, 2.5
"""Edges in a corridor are this far apart, in pixels; after so many, they share lanes."""

Point = tuple[float, float]


class Folded(NamedTuple):
    """A drawing in columns.

    Attributes:
        x: Shape ``(nodes,)``.
        shift: Shape ``(rows,)``, what was added to x in each row.
        tops: Shape ``(rows,)``, y of each row.
        column: Shape ``(rows,)``, the column of each row.
        left: Shape ``(columns,)``, the left side of each column.
        width: Of all columns.
    """

    x: Float
    shift: Float
    tops: Float
    column: Int
    left: Float
    width: float

    def route(self, depth: int, points: list[Point], lane: int) -> list[Point]:
        """The way of an edge, whose points are on rows ``depth``, ``depth + 1`` and so on."""
        way: list[Point] = []
        for row, point in enumerate(points, depth):
            if way and self.column[row] != self.column[row - 1]:
                middle = float(self.left[self.column[row]]) - CORRIDOR / 3
                middle += LANE * (lane % LANES - LANES / 2)
                way += [(middle, way[-1][1] + 12.0), (middle, float(self.tops[row]) - 12.0)]
            way.append(point)
        return way


def fold(placed: Placed, upper: Int, widths: Float, tops: Float, column: Int) -> Folded:
    """Place the rows of each column next to those of the one before.

    Args:
        placed: The drawing in one column.
        upper: Shape ``(edges,)``, nodes at the upper ends.
        widths: Shape ``(nodes,)``.
        tops: Shape ``(rows,)``, y of each row in one column.
        column: Shape ``(rows,)``, the column of each row, see `columns`.
    """
    near, far = _sides(placed, upper, widths, column)
    left = near.min() + np.concatenate([[0.0], np.cumsum(far - near + CORRIDOR)])
    shift = (left[:-1] - near)[column]
    first = np.searchsorted(column, np.arange(len(near)))
    return Folded(
        placed.x + shift[placed.depth],
        shift,
        tops - tops[first][column] + tops[0],
        column,
        left[:-1],
        float(left[-1] - left[0]) - CORRIDOR,
    )


def columns(placed: Placed, upper: Int, lower: Int, tops: Float, height: float) -> Int:
    """Shape ``(rows,)``: the column of each row, so that columns are about ``height`` high.

    They are equally high, but for a tenth, so that few edges lead from one to the next. Without
    the bends of long edges there is one column.
    """
    rows = len(tops)
    long = placed.depth[lower] - placed.depth[upper] > 1
    if any(len(placed.routes[edge]) == 0 for edge in np.flatnonzero(long).tolist()):
        return np.zeros(rows, np.int64)
    steps = np.zeros(rows + 1, np.int64)
    np.add.at(steps, placed.depth[upper] + 1, 1)
    np.add.at(steps, placed.depth[lower] + 1, -1)
    crossing = np.cumsum(steps)  # edges that lead to row r from the rows above it
    total = tops[-1] - tops[0]
    number = max(int(np.ceil(total / height)), 1)
    column = np.zeros(rows, np.int64)
    for fold in range(1, number):
        wanted = tops[0] + total * np.array([fold - 0.1, fold + 0.1]) / number
        first, last = np.searchsorted(tops, wanted).tolist()
        column[first + int(np.argmin(crossing[first : last + 1])) :] += 1
    return column


def _sides(placed: Placed, upper: Int, widths: Float, column: Int) -> tuple[Float, Float]:
    """The left and right side of each column, bends included."""
    bends = np.concatenate([np.zeros(0), *placed.routes])
    numbers = np.array([len(route) for route in placed.routes], np.int64)
    where = column[np.concatenate([placed.depth, ranges(placed.depth[upper] + 1, numbers)])]
    near, far = np.full(column[-1] + 1, np.inf), np.full(column[-1] + 1, -np.inf)
    np.minimum.at(near, where, np.concatenate([placed.x - widths / 2, bends]))
    np.maximum.at(far, where, np.concatenate([placed.x + widths / 2, bends]))
    return near, far
