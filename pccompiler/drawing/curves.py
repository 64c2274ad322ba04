"""Draws curves over steps, for notebooks; `pccompiler.plot` draws with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pccompiler.drawing.scene import LINE, SMALL, Path, Scene, Shape, Text

Curve = Sequence[tuple[float, float]]
COLORS = (LINE["sum"], LINE["product"], LINE["input"], LINE["mixture"])
WIDTH, HEIGHT, LEFT, RIGHT, HEAD, FOOT = 520.0, 220.0, 72.0, 18.0, 30.0, 46.0
_GRID, _SOFT = "#e4e7eb", "#52606d"


class _Axis(NamedTuple):
    """Numbers from ``low`` to ``high`` at pixels from ``first`` to ``last``."""

    low: float
    high: float
    first: float
    last: float

    def at(self, value: float) -> float:
        """The pixel of a number."""
        return self.first + (value - self.low) / (self.high - self.low) * (self.last - self.first)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """About five round numbers, as pixels and text."""
        rough = (self.high - self.low) / 5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        for index in range(math.ceil(self.low / step), math.floor(self.high / step) + 1):
            yield self.at(index * step), f"{index * step:,.10g}"


def draw_curves(curves: Mapping[str, Curve], across: str, up: str) -> Scene:
    """Curves in one frame, with a legend above it.

    Numbers that are not finite are gaps. The first number of a curve does not set the scale if
    there are others: before training, it would flatten the rest.

    Args:
        curves: Points by name, each in ascending order of their first number; at most four curves.
        across: What the first number of a point is.
        up: What the second is.
    """
    known = {n: [p for p in curve if math.isfinite(p[1])] for n, curve in curves.items()}
    if not any(known.values()):
        return Scene(WIDTH, 60.0, (), [Text(WIDTH / 2, 30.0, "no evaluations", SMALL)])
    x = _axis([p[0] for curve in known.values() for p in curve], LEFT, WIDTH - RIGHT)
    scaled = [p[1] for curve in known.values() for p in curve[len(curve) > 1 :]]
    y = _axis(scaled, HEIGHT - FOOT, HEAD)
    shapes = list(_frame(x, y, across, up))
    start = LEFT
    for (name, curve), color in zip(curves.items(), COLORS, strict=False):
        shapes += [Path(run, color, 1.8, name) for run in _runs(curve, x, y)]
        shapes.append(Path(((start, 14.0), (start + 18, 14.0)), color, 2.0))
        shapes.append(Text(start + 24, 14.0, name, SMALL, "start"))
        start += 110
    return Scene(WIDTH, HEIGHT, (), shapes)


def _axis(numbers: Sequence[float], first: float, last: float) -> _Axis:
    low, high = min(numbers), max(numbers)
    if high - low < 1e-9 * max(abs(low), 1.0):
        low, high = low - 0.5, high + 0.5
    return _Axis(low, high, first, last)


def _frame(x: _Axis, y: _Axis, across: str, up: str) -> Iterator[Shape]:
    foot = HEIGHT - FOOT
    for place, text in y.ticks():
        yield Path(((LEFT, place), (WIDTH - RIGHT, place)), _GRID)
        yield Text(LEFT - 6, place, text, SMALL, "end", _SOFT)
    for place, text in x.ticks():
        yield Path(((place, foot), (place, foot + 4)), _SOFT)
        yield Text(place, foot + 13, text, SMALL, "middle", _SOFT)
    yield Path(((LEFT, foot), (WIDTH - RIGHT, foot)), _SOFT)
    yield Text(WIDTH - RIGHT, foot + 32, across, SMALL, "end", _SOFT)
    yield Text(LEFT, foot + 32, f"up: {up}", SMALL, "start", _SOFT)


def _runs(curve: Curve, x: _Axis, y: _Axis) -> Iterator[tuple[tuple[float, float], ...]]:
    """The parts of a curve between gaps, from where they leave the frame to where they come back.

    A point alone becomes a dash.
    """
    run: list[tuple[float, float]] = []
    for step, value in [*curve, (math.nan, math.nan)]:
        if math.isfinite(value) and y.low <= value <= y.high:
            run.append((x.at(step), y.at(value)))
        elif run:
            yield tuple(run) if len(run) > 1 else (run[0], (run[0][0] + 3.0, run[0][1]))
            run = []


def draw_share(part: float, whole: float, words: str) -> Scene:
    """A bar that shows a part of a whole, with words below it."""
    width = WIDTH - 2 * RIGHT
    filled = min(part / whole, 1.0) * width
    return Scene(
        WIDTH,
        56.0,
        (),
        [
            Path(((RIGHT, 20.0), (RIGHT + width, 20.0)), _GRID, 14.0),
            Path(((RIGHT, 20.0), (RIGHT + filled, 20.0)), COLORS[0], 14.0),
            Text(RIGHT, 42.0, words, SMALL, "start", _SOFT),
        ],
    )
