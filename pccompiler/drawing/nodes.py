"""Draws a circuit node by node."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pccompiler.drawing.labels import weight_labels
from pccompiler.drawing.placing import Placed, place
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
    Sign,
    Text,
    colors,
    text_width,
)
from pccompiler.drawing.words import leaf_lines, node_title
from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float, Int

RADIUS = 11.0
MARGIN = 24.0
WRITTEN = 1_500
"""The most nodes that are labelled; with more, leaves are dots and names are tooltips only."""
_SIGNS: dict[Kind, Sign] = {Kind.SUM: "+", Kind.MIXTURE: "+", Kind.PRODUCT: "x"}
"""Other kinds of products have a cross in a ring."""


class _Page(NamedTuple):
    """Positions and sizes on the page."""

    circuit: Circuit
    placed: Placed
    y: Float
    row_height: float
    written: bool
    radius: float


def draw_nodes(circuit: Circuit) -> Scene:
    """Draw every node: sums and products as signs, inputs as boxes, the root on top."""
    written = circuit.num_nodes <= WRITTEN
    radius = RADIUS if written else 5.0
    upper, lower, _ = _edges(circuit)
    placed = place(upper, lower, _widths(circuit, written, radius), 14.0 if written else 4.0)
    deep = int(placed.depth.max(initial=0))
    row = 64.0 if written else 34.0
    row = float(np.clip(placed.width / 14, row, 4 * row))
    y: Float = np.asarray(MARGIN + radius + 4 + placed.depth * row, np.float64)
    page = _Page(circuit, placed._replace(x=placed.x + MARGIN), y, row, written, radius)
    scene = Scene(placed.width + 2 * MARGIN, 2 * (MARGIN + radius) + deep * row + 8, _caption(page))
    scene.shapes += _paths(page)
    scene.shapes += _glyphs(page)
    if written:
        scene.shapes += weight_labels(circuit, page.placed.x, y, _bend_lists(page), scene.shapes)
    return scene


def _edges(circuit: Circuit) -> tuple[Int, Int, Int]:
    """Distinct edges from nodes to operands, and the position of the first in ``operands``."""
    owners = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    keys = owners * circuit.num_nodes + circuit.operands
    _, first = np.unique(keys, return_index=True)
    first = np.sort(first)
    return owners[first], circuit.operands[first], first


def _widths(circuit: Circuit, written: bool, radius: float) -> Float:
    widths = np.full(circuit.num_nodes, 2 * radius)
    if written:
        for node in range(circuit.num_nodes):
            if circuit.kind[node] == Kind.INPUT:
                lines = leaf_lines(circuit, node)
                widths[node] = max(text_width(line, SMALL) for line in lines) + 12
            else:  # label to the right of the glyph, as much space on the left
                widths[node] += 2 * text_width(_beside(circuit, node), SMALL) + 4
    return widths


def _beside(circuit: Circuit, node: int) -> str:
    """The name and the width of an inner node."""
    units = int(circuit.units[node])
    name = circuit.names.get(node, "")
    return name + (f" ({units})" if name else f"{units}") * (units > 1)


def _bend_lists(page: _Page) -> list[tuple[int, int, int, list[tuple[float, float]]]]:
    """For each edge, its ends, its place in ``operands``, and the points that it goes through."""
    upper, lower, first = _edges(page.circuit)
    x, y, top = page.placed.x, page.y, float(page.y.min(initial=0.0))
    result: list[tuple[int, int, int, list[tuple[float, float]]]] = []
    for a, b, position, bends in zip(
        upper.tolist(), lower.tolist(), first.tolist(), page.placed.routes, strict=True
    ):
        depth = int(page.placed.depth[a])
        points = [(float(x[a]), float(y[a]))]
        for step, bend in enumerate(bends.tolist(), depth + 1):
            points.append((bend + MARGIN, top + step * page.row_height))
        points.append((float(x[b]), float(y[b])))
        result.append((a, b, position, points))
    return result


def _paths(page: _Page) -> list[Path]:
    width = 1.0 if page.written else 0.5
    return [Path(tuple(points), FAINT, width) for *_, points in _bend_lists(page)]


def _glyphs(page: _Page) -> list[Disc | Box | Text]:
    circuit, shapes = page.circuit, list[Disc | Box | Text]()
    for node in range(circuit.num_nodes):
        kind = Kind(int(circuit.kind[node]))
        x, y = float(page.placed.x[node]), float(page.y[node])
        title = node_title(circuit, node)
        if kind != Kind.INPUT:
            sign, (fill, line) = _SIGNS.get(kind, "xx"), colors(kind)
            shapes.append(Disc(x, y, page.radius, fill, line, sign, title))
            beside = _beside(circuit, node)
            if page.written and beside:
                start = x + page.radius + 3
                shapes.append(Text(start, y, beside, SMALL, "start", halo=True))
        elif page.written:
            shapes += _leaf(circuit, node, x, y, title)
        else:
            shapes.append(Disc(x, y, page.radius * 0.7, FILL["input"], LINE["input"], "", title))
    return shapes


def _leaf(circuit: Circuit, node: int, x: float, y: float, title: str) -> list[Box | Text]:
    lines = leaf_lines(circuit, node)
    width = max(text_width(line, SMALL) for line in lines) + 12
    height = 20.0 if len(lines) == 1 else 31.0
    shapes: list[Box | Text] = [Box(x, y, width, height, FILL["input"], LINE["input"], title)]
    for number, line in enumerate(lines):
        shift = 0.0 if len(lines) == 1 else 13.0 * number - 6.5
        shapes.append(Text(x, y + shift, line, NORMAL if number == 0 else SMALL))
    return shapes


def _caption(page: _Page) -> tuple[str, ...]:
    lines = [str(page.circuit) + "."]
    signs = "+ sums, x products (ringed: Kronecker), boxes inputs; operands are below their nodes"
    if page.written and (page.circuit.units > 1).any():
        signs += "; a number next to a node is its width in units"
    if not page.written:
        signs += "; dots inputs; tooltips show names, scopes and source lines"
        signs = signs.replace(", boxes inputs", "")
    return (*lines, signs + ".")
