"""How much a picture of single nodes writes out: less, the more nodes share a page."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pccompiler.drawing.layout.layering import find_depths
from pccompiler.drawing.scene import SMALL, text_width
from pccompiler.drawing.words import leaf_lines
from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float, Int

PAGE_WIDTH, PAGE_HEIGHT = 1_600.0, 1_600.0
"""Pixels of a page on which all that is written can be read."""
WRITTEN = 1_500
"""The most nodes of which any is labelled; with more, names are tooltips only."""
MOST_SUB_ROWS = 3


class Detail(NamedTuple):
    """Sizes of nodes, in pixels, and what is written next to them.

    Attributes:
        radius: Of sums and products.
        gap: The least space between neighbours.
        row: The least space between rows.
        names: Whether every name, width and distribution is written; otherwise, names are written
            where they fit.
        signs: Whether sums and products have a sign inside; otherwise they are filled.
    """

    radius: float
    gap: float
    row: float
    names: bool
    signs: bool


FULL = Detail(11.0, 14.0, 64.0, names=True, signs=True)
SIGNS = Detail(8.0, 8.0, 44.0, names=False, signs=True)
DOTS = Detail(5.0, 4.0, 30.0, names=False, signs=False)


def details(circuit: Circuit) -> tuple[Detail, ...]:
    """The details to try, from the most to the least written."""
    return (FULL, SIGNS, DOTS) if circuit.num_nodes <= WRITTEN else (DOTS,)


class Crowd(NamedTuple):
    """What each node needs of its row.

    Attributes:
        lines: For each node, the text in its box; empty for sums, products and leaves drawn as
            dots.
        widths: Shape ``(nodes,)``; a node of a zigzag only needs its share.
        sub_rows: Shape ``(depths,)``: over how many lines the nodes of each depth zigzag.
    """

    lines: list[tuple[str, ...]]
    widths: Float
    sub_rows: Int


def beside(circuit: Circuit, node: int) -> str:
    """The name and the width of an inner node."""
    units = int(circuit.units[node])
    name = circuit.names.get(node, "")
    return name + (f" ({units})" if name else f"{units}") * (units > 1)


def crowd(circuit: Circuit, detail: Detail, upper: Int, lower: Int) -> Crowd:
    """The text of leaves and the width of all nodes at one detail.

    The leaves at one depth have boxes if these fit on a page, and are dots otherwise.
    """
    depth = find_depths(circuit.num_nodes, upper, lower)
    lines = _lines(circuit, detail)
    widths = _widths(circuit, detail, lines)
    if detail.names:
        return Crowd(lines, widths, np.ones(int(depth.max(initial=0)) + 1, np.int64))
    crowded = np.bincount(depth, weights=widths + detail.gap) > PAGE_WIDTH
    lines = [() if crowded[d] else own for own, d in zip(lines, depth.tolist(), strict=True)]
    widths = _widths(circuit, detail, lines)
    if detail.signs:
        return Crowd(lines, widths, np.ones(len(crowded), np.int64))
    pages = np.bincount(depth, weights=widths + detail.gap) / PAGE_WIDTH
    sub_rows = np.clip(np.ceil(pages), 1, MOST_SUB_ROWS).astype(np.int64)
    sub_rows[np.bincount(depth) <= sub_rows] = 1
    return Crowd(lines, (widths + detail.gap) / sub_rows[depth] - detail.gap, sub_rows)


def box_width(lines: tuple[str, ...]) -> float:
    """The width of a box around some text."""
    return max(text_width(line, SMALL) for line in lines) + 12


def _lines(circuit: Circuit, detail: Detail) -> list[tuple[str, ...]]:
    if circuit.num_nodes > WRITTEN:
        return [()] * circuit.num_nodes
    most = 2 if detail.names else 1
    return [
        leaf_lines(circuit, node)[:most] if circuit.kind[node] == Kind.INPUT else ()
        for node in range(circuit.num_nodes)
    ]


def _widths(circuit: Circuit, detail: Detail, lines: list[tuple[str, ...]]) -> Float:
    """Names are to the right of a sum or product, with as much space on the left."""
    widths = np.full(circuit.num_nodes, 2 * detail.radius)
    for node, own in enumerate(lines):
        if own:
            widths[node] = box_width(own)
        elif detail.names:
            widths[node] += 2 * text_width(beside(circuit, node), SMALL) + 4
    return widths
