"""Positions for the nodes of a layered drawing, without overlaps and with short edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pccompiler.drawing.layout.layering import Layers, Rows, make_layers, means, order_rows
from pccompiler.ir.arrays import Float, Int

SWEEPS = 12
BEND = 4.0
"""Width reserved for a bend of a long edge."""


class Placed(NamedTuple):
    """A drawing of a graph.

    Attributes:
        x: Shape ``(nodes,)``, horizontal centres.
        depth: Shape ``(nodes,)``, rows from the top.
        routes: For each edge, x of its bends, shape ``(bends,)``, one for each row between.
        width: Width from the leftmost side (x = 0) to the rightmost.
    """

    x: Float
    depth: Int
    routes: list[Float]
    width: float


def place(upper: Int, lower: Int, widths: Float, gap: float) -> Placed:
    """Lay out a directed acyclic graph, edges downwards.

    Args:
        upper: Shape ``(edges,)``, nodes at the upper ends.
        lower: Shape ``(edges,)``, nodes at the lower ends.
        widths: Shape ``(nodes,)``.
        gap: The least space between neighbours.
    """
    layers = make_layers(len(widths), upper, lower)
    deep = int(layers.depth.max(initial=0))
    rows = order_rows(layers, SWEEPS if deep < 500 else 4)
    wide = np.concatenate([widths, np.full(len(layers.depth) - len(widths), BEND)])
    x = _coordinates(layers, rows, wide, gap)
    left = float((x - wide / 2).min(initial=0.0))
    right = float((x + wide / 2).max(initial=0.0))
    x -= left
    nodes = layers.nodes
    bends = layers.bends + nodes
    routes = [x[a:b] for a, b in zip(bends[:-1].tolist(), bends[1:].tolist(), strict=True)]
    return Placed(x[:nodes], layers.depth[:nodes], routes, right - left)


def _coordinates(layers: Layers, rows: Rows, widths: Float, gap: float) -> Float:
    """Sweep down and up, moving each point towards the mean of its neighbours if there is room."""
    x = np.zeros(len(layers.depth))
    offsets = [_offsets(widths[members], gap) for members in rows.members]
    for members, offset in zip(rows.members, offsets, strict=True):
        x[members] = offset - offset[-1] / 2
    last = len(rows.members) - 1
    for sweep in range(SWEEPS if last < 500 else 4):
        down = sweep % 2 == 0  # the last sweep goes up and centres nodes over their operands
        for row, members, near, far in rows.walk(down=down):
            wanted = means(x, members, near, far)
            x[members] = offsets[row] + _ascending(wanted - offsets[row])
    return x


def _offsets(widths: Float, gap: float) -> Float:
    """The tightest positions of a row, starting at 0."""
    steps = (widths[1:] + widths[:-1]) / 2 + gap
    return np.concatenate([[0.0], np.cumsum(steps)])


def _ascending(values: Float) -> Float:
    """Isotonic regression: the ascending sequence closest to ``values`` in least squares."""
    if (np.diff(values) >= 0).all():
        return values
    sums: list[float] = []
    numbers: list[int] = []
    for value in values.tolist():
        total, number = value, 1
        while sums and sums[-1] * number >= total * numbers[-1]:
            total += sums.pop()
            number += numbers.pop()
        sums.append(total)
        numbers.append(number)
    return np.repeat(np.array(sums) / np.array(numbers), numbers)
