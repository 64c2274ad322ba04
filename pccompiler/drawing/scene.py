"""The shapes of a picture, before they become SVG or PNG. Units are pixels; y points down."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pccompiler.ir.kinds import PRODUCTS, Kind

Anchor = Literal["start", "middle", "end"]
Sign = Literal["+", "x", "xx", ""]
"""A plus, a cross, a cross in a ring, or nothing."""
SMALL, NORMAL, LARGE = 10.0, 11.0, 14.0
"""Sizes of text."""

INK, FAINT, PAPER = "#1f2933", "#8a94a0", "#ffffff"
FILL = {"input": "#e3f1de", "product": "#fde8cf", "kronecker": "#f9d9c3", "sum": "#dbe9f8"}
LINE = {"input": "#4b8a3a", "product": "#c06a14", "kronecker": "#a8471c", "sum": "#2d6cb3"}
FILL["mixture"], LINE["mixture"] = "#e2e0f5", "#5a4fb0"


def colors(kind: Kind) -> tuple[str, str]:
    """Fill and line of nodes of a kind; products that have none of their own share one."""
    own = kind.keyword if kind.keyword in FILL or kind not in PRODUCTS else "product"
    return FILL[own], LINE[own]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with round corners, given by its centre."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    line: str
    title: str = ""
    radius: float = 4.0


@dataclass(frozen=True, slots=True)
class Disc:
    """A circle with a sign in it."""

    x: float
    y: float
    radius: float
    fill: str
    line: str
    sign: Sign = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """A polyline."""

    points: tuple[tuple[float, float], ...]
    line: str = FAINT
    width: float = 1.0
    title: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; ``y`` is its vertical centre."""

    x: float
    y: float
    text: str
    size: float = NORMAL
    anchor: Anchor = "middle"
    color: str = INK
    halo: bool = False


Shape = Box | Disc | Path | Text


@dataclass
class Scene:
    """Shapes from back to front.

    Attributes:
        width: Width of the whole picture.
        height: Height of the whole picture.
        caption: Lines below the picture: what is drawn, and what is drawn together.
    """

    width: float
    height: float
    caption: tuple[str, ...]
    shapes: list[Shape] = field(default_factory=list[Shape])


def text_width(text: str, size: float = NORMAL) -> float:
    """A little more than what common sans-serif fonts need."""
    return 0.63 * size * len(text)


def with_caption(scene: Scene, margin: float = 16.0) -> Scene:
    """The scene with its caption as text below it, wrapped to fit."""
    widest = max((text_width(line, NORMAL) for line in scene.caption), default=0.0)
    width = max(scene.width, min(widest, 560.0) + 2 * margin)
    lines = [
        piece for line in scene.caption for piece in _broken(line, int((width - 2 * margin) / 6.93))
    ]
    shift = (width - scene.width) / 2
    shapes = [_moved(shape, shift) for shape in scene.shapes] if shift else list(scene.shapes)
    y = scene.height + 6.0
    for line in lines:
        shapes.append(Text(margin, y, line, NORMAL, "start", "#52606d"))
        y += 16.0
    return Scene(width, y + margin - 8.0, scene.caption, shapes)


def _broken(line: str, most: int) -> Sequence[str]:
    return textwrap.wrap(line, max(most, 20)) or [""]


def _moved(shape: Shape, by: float) -> Shape:
    if isinstance(shape, Path):
        return replace(shape, points=tuple((x + by, y) for x, y in shape.points))
    return replace(shape, x=shape.x + by)
