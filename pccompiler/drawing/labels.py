"""Labels edges with weights, if they are few and there is room."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from pccompiler.drawing.scene import SMALL, Box, Disc, Scene, Shape, Text, text_width
from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Int
from pccompiler.ir.kinds import SUMS

MOST = 300
"""The most labels of a picture."""
MOST_OPERANDS = 12
"""The most operands of a sum with labelled weights."""
_CELL = 48.0
_PLACES = (0.5, 0.4, 0.6, 0.3, 0.7, 0.8, 0.2)

Point = tuple[float, float]
Edge = tuple[int, int, int, list[Point]]
Area = tuple[float, float, float, float]


class _Occupied:
    """Rectangles, indexed by position."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], list[Area]] = defaultdict(list)

    def add(self, area: Area) -> None:
        for cell in _cells(area):
            self.cells[cell].append(area)

    def free(self, area: Area) -> bool:
        return not any(_overlap(area, other) for c in _cells(area) for other in self.cells[c])


def fitting(wanted: Iterable[Sequence[Text]], scene: Scene) -> list[Text]:
    """Of each label's places, the first that is free; labels without a free place are left out."""
    occupied = _Occupied()
    for shape in scene.shapes:
        area = _area(shape)
        if area is not None:
            occupied.add(area)
    labels: list[Text] = []
    for places in wanted:
        for label in places:
            area = _of_text(label)
            if _inside(area, scene) and occupied.free(area):
                occupied.add(area)
                labels.append(label)
                break
    return labels


def weight_labels(circuit: Circuit, edges: Sequence[Edge], scene: Scene) -> list[Text]:
    """Labels for edges of scalar sums with given weights, where they do not overlap anything."""
    wanted = [
        (points, text)
        for node, operand, position, points in edges
        if (text := weight_text(circuit, node, operand, position))
    ]
    if len(wanted) > MOST:
        return []
    places = [
        [Text(*middle, text, SMALL, halo=True) for middle in _candidates(points)]
        for points, text in wanted
    ]
    return fitting(places, scene)


def distinct_edges(circuit: Circuit) -> tuple[Int, Int, Int]:
    """Distinct edges from nodes to operands, and the position of the first in ``operands``."""
    owners = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    keys = owners * circuit.num_nodes + circuit.operands
    _, first = np.unique(keys, return_index=True)
    first = np.sort(first)
    return owners[first], circuit.operands[first], first


def weight_text(circuit: Circuit, node: int, operand: int, position: int) -> str:
    """The weight of an edge of a scalar sum, if it is given; the edge stands for all its copies.

    Args:
        circuit: The circuit.
        node: The sum, or another node, whose edges have no weights.
        operand: One of its operands.
        position: The first place of the operand in ``circuit.operands``.
    """
    scalar = circuit.units[node] == 1 and circuit.units[operand] == 1
    if not scalar or circuit.kind[node] not in SUMS:
        return ""
    table = circuit.weights.values.get(int(circuit.weight[node]))
    below = circuit.operands_of(node)
    if table is None or len(below) > MOST_OPERANDS or table.shape != (1, len(below)):
        return ""
    first = int(circuit.pointer[node])
    uses = [i for i, other in enumerate(below.tolist()) if other == operand]
    if position != first + uses[0]:
        return ""
    return " + ".join(f"{table[0, i]:.3g}" for i in uses)


def _candidates(points: Sequence[Point]) -> Iterator[Point]:
    """Positions on the first piece of an edge, starting with the middle."""
    (x0, y0), (x1, y1) = points[0], points[1]
    for share in _PLACES:
        yield x0 + share * (x1 - x0), y0 + share * (y1 - y0)


def _area(shape: Shape) -> Area | None:
    if isinstance(shape, Box):
        return _around((shape.x, shape.y), shape.width, shape.height)
    if isinstance(shape, Disc):
        return _around((shape.x, shape.y), 2 * shape.radius, 2 * shape.radius)
    return _of_text(shape) if isinstance(shape, Text) else None


def _of_text(text: Text) -> Area:
    width = text_width(text.text, text.size)
    shift = {"start": width / 2, "middle": 0.0, "end": -width / 2}[text.anchor]
    return _around((text.x + shift, text.y), width, text.size + 2)


def _around(middle: Point, width: float, height: float) -> Area:
    x, y = middle
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _cells(area: Area) -> Iterator[tuple[int, int]]:
    left, top, right, bottom = (int(side // _CELL) for side in area)
    for column in range(left, right + 1):
        for row in range(top, bottom + 1):
            yield column, row


def _overlap(a: Area, b: Area) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _inside(area: Area, scene: Scene) -> bool:
    return min(area[:2]) >= 0 and area[2] <= scene.width and area[3] <= scene.height
