"""The legend of a picture: one sample of each kind of node, and how many there are."""

from __future__ import annotations

import numpy as np

from pccompiler.drawing.detail import Detail
from pccompiler.drawing.scene import (
    FILL,
    LINE,
    NORMAL,
    Box,
    Disc,
    Scene,
    Shape,
    Sign,
    Text,
    colors,
    text_width,
)
from pccompiler.drawing.words import counted
from pccompiler.ir import Circuit, Kind

HEIGHT = 26.0
SIGNS: dict[Kind, Sign] = {Kind.SUM: "+", Kind.MIXTURE: "+", Kind.PRODUCT: "x"}
"""Other kinds of products have a cross in a ring."""
_SPACE = 22.0


def add_legend(scene: Scene, circuit: Circuit, detail: Detail, left: float) -> None:
    """Write the legend below the scene, which grows to hold it."""
    numbers = np.bincount(circuit.kind, minlength=len(Kind)).tolist()
    boxes = any(isinstance(shape, Box) for shape in scene.shapes)
    x, y = left, scene.height + HEIGHT / 2 - 6
    for kind in reversed(Kind):
        if not numbers[kind]:
            continue
        words = counted(numbers[kind], kind.keyword)
        glyph, half = _sample(kind, detail, boxes, x, y)
        start = x + 2 * half + 6
        scene.shapes += [glyph, Text(start, y, words, NORMAL, "start")]
        x = start + text_width(words, NORMAL) + _SPACE
    scene.width = max(scene.width, x - _SPACE + left)
    scene.height += HEIGHT


def _sample(kind: Kind, detail: Detail, boxes: bool, x: float, y: float) -> tuple[Shape, float]:
    """The glyph of a kind, from ``x`` to the right, and half its width."""
    if kind == Kind.INPUT and boxes:
        return Box(x + 9, y, 18, 13, FILL["input"], LINE["input"]), 9.0
    radius = min(detail.radius, 8.0)
    return node_disc(kind, detail, x + radius, y, radius), radius


def node_disc(
    kind: Kind, detail: Detail, x: float, y: float, radius: float, title: str = ""
) -> Disc:
    """A node as a disc: with its sign, or filled if that is too small to be read."""
    fill, line = colors(kind)
    if not detail.signs:
        return Disc(x, y, radius, line, line, "", title)
    sign: Sign = "" if kind == Kind.INPUT else SIGNS.get(kind, "xx")
    return Disc(x, y, radius, fill, line, sign, title)
