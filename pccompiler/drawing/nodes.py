"""Draws a circuit node by node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pccompiler.drawing.detail import (
    PAGE_HEIGHT,
    PAGE_WIDTH,
    WRITTEN,
    Crowd,
    Detail,
    beside,
    box_width,
    crowd,
    details,
)
from pccompiler.drawing.labels import distinct_edges, fitting, weight_labels
from pccompiler.drawing.layout.folding import Folded, columns, fold
from pccompiler.drawing.layout.placing import Placed, place
from pccompiler.drawing.legend import add_legend, node_disc
from pccompiler.drawing.scene import (
    FAINT,
    FILL,
    LINE,
    NORMAL,
    SMALL,
    Box,
    Disc,
    Path,
    Scene,
    Text,
)
from pccompiler.drawing.words import leaf_lines, node_title
from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float, Int

MARGIN = 24.0
COLUMN = 1_300.0
"""Height of the columns into which a drawing higher than a page is folded, in pixels."""


class _Page(NamedTuple):
    """Positions and sizes on the page."""

    circuit: Circuit
    detail: Detail
    lines: list[tuple[str, ...]]
    placed: Placed
    folded: Folded
    y: Float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height with margins."""
        return self.folded.width + 2 * MARGIN, float(self.y.max(initial=0.0)) + _head(self.detail)

    @property
    def fits(self) -> bool:
        """Whether a reader can take in the page without shrinking it."""
        width, height = self.size
        return width <= PAGE_WIDTH and height <= PAGE_HEIGHT


def _head(detail: Detail) -> float:
    """From an edge of the page to the middle of the nearest row."""
    return MARGIN + max(detail.radius, 16.0)


def draw_nodes(circuit: Circuit) -> Scene:
    """Draw every node: sums and products as signs, inputs as boxes, the root on top.

    What is written is thinned until the picture fits on a page, or there is nothing left to thin.
    """
    first, *others = details(circuit)
    page = _page(circuit, first)
    for detail in others:
        if page.fits:
            break
        page = _page(circuit, detail)
    scene = Scene(*page.size, _caption(page))
    scene.shapes += _paths(page)
    scene.shapes += _glyphs(page)
    if circuit.num_nodes <= WRITTEN:
        scene.shapes += fitting(_names(page), scene)
        scene.shapes += weight_labels(circuit, _bend_lists(page), scene)
    add_legend(scene, circuit, page.detail, MARGIN)
    return scene


def _page(circuit: Circuit, detail: Detail) -> _Page:
    upper, lower, _ = distinct_edges(circuit)
    needs = crowd(circuit, detail, upper, lower)
    placed = place(upper, lower, needs.widths, detail.gap)
    placed = placed._replace(x=placed.x + MARGIN, routes=[way + MARGIN for way in placed.routes])
    rows = len(needs.sub_rows)
    row = float(np.clip(placed.width * min(1 / 14, 0.7 / rows), detail.row, 4 * detail.row))
    line = 2 * detail.radius + 3.0
    tops = _head(detail) + np.arange(rows, dtype=np.float64) * row
    tops[1:] += np.cumsum(needs.sub_rows - 1)[:-1] * line
    column = columns(placed, upper, lower, tops, COLUMN if tops[-1] > PAGE_HEIGHT else PAGE_HEIGHT)
    folded = fold(placed, upper, needs.widths, tops, column)
    if folded.width > max(PAGE_WIDTH, placed.width):
        folded = fold(placed, upper, needs.widths, tops, np.zeros(rows, np.int64))
    y: Float = folded.tops[placed.depth] + _sub_rows(placed, needs) * line
    return _Page(circuit, detail, needs.lines, placed, folded, y)


def _sub_rows(placed: Placed, needs: Crowd) -> Int:
    """The line of each node within its row: neighbours are on different lines of a zigzag."""
    order = np.lexsort((placed.x, placed.depth))
    first = np.searchsorted(placed.depth[order], np.arange(len(needs.sub_rows)))
    lines = np.zeros(len(order), np.int64)
    depth = placed.depth[order]
    lines[order] = (np.arange(len(order)) - first[depth]) % needs.sub_rows[depth]
    return lines


def _bend_lists(page: _Page) -> list[tuple[int, int, int, list[tuple[float, float]]]]:
    """For each edge, its ends, its place in ``operands``, and the points that it goes through."""
    upper, lower, first = distinct_edges(page.circuit)
    x, y, folded = page.folded.x.tolist(), page.y.tolist(), page.folded
    result: list[tuple[int, int, int, list[tuple[float, float]]]] = []
    ends = zip(upper.tolist(), lower.tolist(), first.tolist(), page.placed.routes, strict=True)
    for number, (a, b, position, bends) in enumerate(ends):
        depth = int(page.placed.depth[a])
        rows = slice(depth + 1, depth + 1 + len(bends))
        inner = zip((bends + folded.shift[rows]).tolist(), folded.tops[rows].tolist(), strict=True)
        points = [(x[a], y[a]), *inner, (x[b], y[b])]
        result.append((a, b, position, folded.route(depth, points, number)))
    return result


def _paths(page: _Page) -> list[Path]:
    width = 1.0 if page.detail.signs else 0.6
    return [Path(tuple(points), FAINT, width) for *_, points in _bend_lists(page)]


def _glyphs(page: _Page) -> list[Disc | Box | Text]:
    circuit, shapes = page.circuit, list[Disc | Box | Text]()
    for node, lines in enumerate(page.lines):
        kind = Kind(int(circuit.kind[node]))
        x, y = float(page.folded.x[node]), float(page.y[node])
        title = node_title(circuit, node)
        if lines:
            shapes += _leaf(lines, x, y, title)
        else:
            radius = page.detail.radius * (0.7 if kind == Kind.INPUT else 1.0)
            shapes.append(node_disc(kind, page.detail, x, y, radius, title))
        if kind != Kind.INPUT and page.detail.names and beside(circuit, node):
            start = x + page.detail.radius + 3
            shapes.append(Text(start, y, beside(circuit, node), SMALL, "start", halo=True))
    return shapes


def _leaf(lines: tuple[str, ...], x: float, y: float, title: str) -> list[Box | Text]:
    height = 20.0 if len(lines) == 1 else 31.0
    shapes: list[Box | Text] = [
        Box(x, y, box_width(lines), height, FILL["input"], LINE["input"], title)
    ]
    for number, line in enumerate(lines):
        shift = 0.0 if len(lines) == 1 else 13.0 * number - 6.5
        shapes.append(Text(x, y + shift, line, NORMAL if number == 0 else SMALL))
    return shapes


def _names(page: _Page) -> Iterator[list[Text]]:
    """Places for the names that have none yet, from the root down."""
    if page.detail.names:
        return
    for node in reversed(range(page.circuit.num_nodes)):
        x, y = float(page.folded.x[node]), float(page.y[node])
        aside = page.detail.radius + 3
        if page.circuit.kind[node] != Kind.INPUT:
            name = page.circuit.names.get(node, "")
            right = Text(x + aside, y, name, SMALL, "start", halo=True)
            yield [right, Text(x - aside, y, name, SMALL, "end", halo=True)] if name else []
        elif not page.lines[node]:
            yield [Text(x, y + aside + 3, leaf_lines(page.circuit, node)[0], SMALL, halo=True)]


def _caption(page: _Page) -> tuple[str, ...]:
    signs = "Operands are below their nodes"
    if page.folded.column[-1]:
        signs += ", or at the head of the next column"
    if (page.circuit.kind == Kind.KRONECKER).any():
        signs += "; Kronecker products are ringed" if page.detail.signs else ""
    widths = page.circuit.units
    if page.detail.names and (widths > 1).any():
        signs += "; a number next to a node is its width in units"
    if not page.detail.names:
        signs += "; names are written where they fit, and all are in the tooltips of the SVG"
        if (widths > 1).any():
            signs += f"; nodes have {widths.min():,} to {widths.max():,} units"
    return (f"{page.circuit}.", f"{signs}.")
