"""Draws a circuit region by region: all nodes of one scope are one box, with their numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pccompiler.drawing.layout.placing import Placed, place
from pccompiler.drawing.layout.region_graph import RegionGraph, find_twins
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
    Shape,
    Text,
    text_width,
)
from pccompiler.drawing.words import counted, scope_words
from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float, Int, first_uses
from pccompiler.ir.kinds import PRODUCTS, SUMS
from pccompiler.ir.scopes import members

MARGIN = 24.0
WRITTEN = 400
"""The most boxes labelled in words; with more, a box has only the number of its variables."""
TWINS = 6
"""The fewest similar regions that are drawn as one box."""


@dataclass(frozen=True)
class _Card:
    """The text of a box."""

    lines: tuple[str, ...]
    title: str
    color: str

    @property
    def width(self) -> float:
        return max(text_width(line, SMALL) for line in self.lines) + 14


def boxes_drawn(circuit: Circuit, graph: RegionGraph) -> int:
    """Number of boxes and crosses in the picture; similar regions count once."""
    nodes, _ = _numbers(circuit, graph.regions)
    drawn, *_ = _merged(graph, find_twins(graph, nodes))
    return len(drawn) + len(graph.partition_region)


def draw_regions(circuit: Circuit, graph: RegionGraph) -> Scene:
    """Draw the region graph: boxes for regions, crosses for partitions."""
    nodes, units = _numbers(circuit, graph.regions)
    drawn, upper, lower, together = _merged(graph, find_twins(graph, nodes))
    written = len(drawn) <= WRITTEN
    cards = [
        _card(circuit, together[region], nodes[region], int(units[region]), written)
        for region in drawn.tolist()
    ]
    cross = 24.0 if written else 8.0
    widths = [card.width for card in cards] + [cross] * len(graph.partition_region)
    placed = place(upper, lower, np.array(widths), 14.0 if written else 5.0)
    row = float(np.clip(placed.width / 16, 52.0, 220.0))
    height = 33.0 if written else 18.0
    x = placed.x + MARGIN
    y: Float = np.asarray(MARGIN + height / 2 + placed.depth * row, np.float64)
    shapes: list[Shape] = list(_paths(placed, upper, lower, y, row, 1.0 if written else 0.6))
    for card, left, top in zip(cards, x.tolist(), y.tolist(), strict=False):
        fill, line = FILL[card.color], LINE[card.color]
        shapes.append(Box(left, top, card.width, height, fill, line, card.title))
        shapes += _written(left, top, card.lines)
    for number, products in enumerate(graph.partition_products.tolist(), len(cards)):
        shapes += _cross(float(x[number]), float(y[number]), products, written)
    deep = int(placed.depth.max(initial=0))
    return Scene(
        placed.width + 2 * MARGIN,
        2 * MARGIN + height + deep * row,
        _caption(circuit, graph, len(drawn)),
        shapes,
    )


def _merged(graph: RegionGraph, twins: Int) -> tuple[Int, Int, Int, dict[int, list[int]]]:
    """The regions to draw, edges between them and partitions, and the regions each represents."""
    many = np.bincount(twins, minlength=graph.regions)[twins] >= TWINS
    stands = np.where(many, twins, np.arange(graph.regions))
    drawn = first_uses(stands)
    together: dict[int, list[int]] = {}
    for region, first in enumerate(stands.tolist()):
        together.setdefault(first, []).append(region)
    new = np.zeros(len(graph), np.int64)
    new[drawn] = np.arange(len(drawn))
    new[: graph.regions] = new[stands]
    new[graph.regions :] = len(drawn) + np.arange(len(graph.partition_region))
    edges = np.unique(np.stack([new[graph.upper], new[graph.lower]], axis=1), axis=0)
    return drawn, edges[:, 0], edges[:, 1], together


def _paths(
    placed: Placed, upper: Int, lower: Int, y: Float, row: float, width: float
) -> list[Path]:
    paths: list[Path] = []
    x, top = placed.x + MARGIN, float(y.min(initial=0.0))
    for a, b, bends in zip(upper.tolist(), lower.tolist(), placed.routes, strict=True):
        steps = enumerate((bends + MARGIN).tolist(), int(placed.depth[a]) + 1)
        middle = [(bend, top + step * row) for step, bend in steps]
        points = ((float(x[a]), float(y[a])), *middle, (float(x[b]), float(y[b])))
        paths.append(Path(points, FAINT, width))
    return paths


def _numbers(circuit: Circuit, regions: int) -> tuple[Int, Int]:
    """Number of nodes of each region and kind, and of units of each region."""
    key = circuit.scopes.index * len(Kind) + circuit.kind
    nodes = np.bincount(key, minlength=regions * len(Kind)).reshape(regions, len(Kind))
    units = np.bincount(circuit.scopes.index, weights=circuit.units, minlength=regions)
    return nodes, units.astype(np.int64)


def _card(circuit: Circuit, regions: list[int], row: Int, units: int, written: bool) -> _Card:
    scope = members(np.bitwise_or.reduce(circuit.scopes.table[regions], axis=0)).tolist()
    numbers: list[int] = row.tolist()
    kinds = [kind for kind in (Kind.INPUT, *SUMS, *map(Kind, PRODUCTS)) if numbers[kind]]
    own = [kind for kind in kinds if kind not in PRODUCTS] or kinds
    each = " each" if len(regions) > 1 else ""
    what = ", ".join(counted(numbers[kind], kind.keyword) for kind in own) + each
    names = [circuit.variables[v].name for v in scope]
    title = f"{counted(len(names), 'variable')}: {', '.join(names[:40])}" + ", ..." * (
        len(names) > 40
    )
    title += "\n" + ", ".join(counted(numbers[kind], kind.keyword) for kind in kinds)
    title += f", {units:,} units" + each
    words = scope_words(circuit, scope)
    if len(regions) > 1:
        title = f"{len(regions):,} regions alike, over {title}"
        words = f"{len(regions):,} regions: {names[0]}, {names[1]}, ..."
    lines = (words, what) if written else (str(len(scope)),)
    leaf = len(scope) == len(regions)
    return _Card(lines, title, "input" if leaf else "sum")


def _written(x: float, y: float, lines: tuple[str, ...]) -> list[Text]:
    if len(lines) == 1:
        return [Text(x, y, lines[0], SMALL)]
    return [Text(x, y - 7, lines[0], NORMAL), Text(x, y + 7, lines[1], SMALL)]


def _cross(x: float, y: float, products: int, written: bool) -> list[Shape]:
    title = f"a partition: {counted(products, 'product')}"
    disc = Disc(x, y, 8.0 if written else 3.5, FILL["product"], LINE["product"], "x", title)
    if products == 1 or not written:
        return [disc]
    return [disc, Text(x + 11, y, f"{products:,}", SMALL, "start", halo=True)]


def _caption(circuit: Circuit, graph: RegionGraph, drawn: int) -> tuple[str, ...]:
    alike = ""
    if drawn < graph.regions:
        alike = " Regions with equal numbers below the same partitions share a box."
    return (
        f"{circuit}.",
        f"Drawn as {counted(graph.regions, 'region')} and "
        f"{counted(len(graph.partition_region), 'partition')}: a box stands for all nodes over one "
        "set of variables; a cross stands for all products that split a region in the same way. "
        f"Numbers count these nodes.{alike}",
    )
