"""Bar charts of times on a logarithmic axis, for the README and for docs/benchmarks.md."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.page.words import number
from pccompiler.drawing.scene import (
    FAINT,
    FILL,
    LINE,
    NORMAL,
    SMALL,
    Box,
    Scene,
    Shape,
    Text,
    text_width,
)
from pccompiler.drawing.scene import Path as Line

COLORS = ("sum", "product", "mixture", "input", "kronecker")
"""Colours of a chart's names, in the order of their first bars."""
WIDTH, STEP, THICK, TOP = 400.0, 18.0, 15.0, 40.0
GRID, SOFT = "#e4e7eb", "#52606d"


class Bar(NamedTuple):
    """A bar: whose it is, and how long."""

    name: str
    value: float


class Row(NamedTuple):
    """The bars of one case."""

    label: str
    bars: Sequence[Bar]


class Axis(NamedTuple):
    """A logarithmic axis between two powers of ten, from ``left`` pixels on."""

    left: float
    low: int
    high: int

    def at(self, value: float) -> float:
        """The place of a value, in pixels."""
        return self.left + WIDTH * (math.log10(value) - self.low) / (self.high - self.low)


def chart(title: str, rows: Sequence[Row], unit: str = "ms", better: str = "shorter") -> Scene:
    """A group of bars for each case.

    Args:
        title: What the bars show.
        rows: The cases, from the top; values are positive.
        unit: The values' unit.
        better: Which bars are better: "shorter" or "longer".
    """
    values = [bar.value for row in rows for bar in row.bars]
    low = math.floor(math.log10(min(values)) - 0.05)
    high = max(math.ceil(math.log10(max(values))), low + 1)
    axis = Axis(max(text_width(row.label) for row in rows) * 0.86 + 20, low, high)
    bottom = TOP + sum(_height(row) for row in rows)
    names = list(dict.fromkeys(bar.name for row in rows for bar in row.bars))
    scene = Scene(axis.left + WIDTH + 130, bottom + 34, _caption(rows, unit))
    scene.shapes += _grid(axis, bottom, unit)
    scene.shapes.append(Text(axis.left, 18.0, f"{title}; {better} is better", anchor="start"))
    y = TOP
    for row in rows:
        scene.shapes += _row(row, axis, y, names)
        y += _height(row)
    scene.shapes.append(Line(((axis.left, 34.0), (axis.left, bottom)), FAINT))
    return scene


def _height(row: Row) -> float:
    return STEP * len(row.bars) + 10.0


def _grid(axis: Axis, bottom: float, unit: str) -> Iterator[Shape]:
    for power in range(axis.low, axis.high + 1):
        x = axis.at(10.0**power)
        yield Line(((x, 34.0), (x, bottom)), GRID)
        yield Text(x, bottom + 14, f"{10.0**power:g} {unit}", SMALL, color=SOFT)


def _row(row: Row, axis: Axis, y: float, names: Sequence[str]) -> Iterator[Shape]:
    yield Text(axis.left - 10, y + STEP * len(row.bars) / 2, row.label, NORMAL, "end")
    for place, bar in enumerate(row.bars):
        kind, middle = COLORS[names.index(bar.name) % len(COLORS)], y + STEP * (place + 0.5)
        end = axis.at(bar.value)
        yield Box(
            (axis.left + end) / 2,
            middle,
            end - axis.left,
            THICK,
            FILL[kind],
            LINE[kind],
            radius=2.0,
        )
        yield Text(end + 6, middle, f"{bar.name} {number(bar.value)}", SMALL, "start")


def _caption(rows: Sequence[Row], unit: str) -> tuple[str, ...]:
    """Every bar in words."""
    return tuple(
        f"{row.label}: " + ", ".join(f"{bar.name} {number(bar.value)} {unit}" for bar in row.bars)
        for row in rows
    )
