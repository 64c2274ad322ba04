"""Draws a circuit depth by depth, with a bar for all nodes of one kind."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pccompiler.drawing.layout.layering import find_depths
from pccompiler.drawing.scene import NORMAL, Box, Scene, Shape, Text, colors
from pccompiler.drawing.words import counted
from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Int

MOST_BARS = 60
_LABEL, _BARS, _WORDS = 110.0, 380.0, 420.0
_ROW, _THICK, MARGIN = 22.0, 15.0, 20.0


class _Bar(NamedTuple):
    """All nodes of one kind at some depths."""

    first: int
    last: int
    kind: Kind
    nodes: int
    units: int
    narrow: int
    wide: int
    edges: int

    def words(self) -> str:
        """``120 sums of 5 units, 1,200 edges``."""
        width = f"{self.narrow:,}" if self.narrow == self.wide else f"{self.narrow:,}-{self.wide:,}"
        plural = "unit" if width == "1" else "units"
        text = f"{counted(self.nodes, self.kind.keyword)} of {width} {plural}"
        return f"{text}, {counted(self.edges, 'edge')}" if self.edges else text

    def depths(self) -> str:
        """``depth 3``, ``depths 10-19``."""
        if self.first == self.last:
            return f"depth {self.first}"
        return f"depths {self.first:,}-{self.last:,}"


def draw_bars(circuit: Circuit) -> Scene:
    """Draw bars on a common scale, with the root on top."""
    bars, band = _bars(circuit)
    most = max((bar.nodes for bar in bars), default=1)
    shapes: list[Shape] = []
    y, before = MARGIN + _ROW / 2, -1
    for bar in bars:
        if bar.first != before:
            if before >= 0:
                y += 4.0
            shapes.append(Text(MARGIN + _LABEL - 12, y, bar.depths(), NORMAL, "end", "#52606d"))
            before = bar.first
        width = max(_BARS * bar.nodes / most, 1.5)
        color, line = colors(bar.kind)
        title = f"{bar.depths()}: {bar.words()}, {bar.units:,} units in total"
        middle = MARGIN + _LABEL + _BARS / 2
        shapes.append(Box(middle, y, width, _THICK, color, line, title, radius=2.0))
        shapes.append(Text(MARGIN + _LABEL + _BARS + 14, y, bar.words(), NORMAL, "start"))
        y += _ROW
    width = 2 * MARGIN + _LABEL + _BARS + _WORDS
    return Scene(width, y + MARGIN - _ROW / 2, _caption(circuit, most, band), shapes)


def _bars(circuit: Circuit) -> tuple[list[_Bar], int]:
    """Bars from the top, and the number of depths per bar."""
    owners = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    depth = find_depths(circuit.num_nodes, owners, circuit.operands)
    band = 1
    while len(np.unique(_keys(circuit, depth, band))) > MOST_BARS:
        band = 2 * band if band > 4 else band + 1
    keys, group = np.unique(_keys(circuit, depth, band), return_inverse=True)
    deepest = int(depth.max(initial=0))
    nodes = np.bincount(group)
    units = np.bincount(group, weights=circuit.units)
    edges = np.bincount(group, weights=circuit.fan_in)
    narrow = np.full(len(keys), np.iinfo(np.int64).max)
    wide = np.zeros(len(keys), np.int64)
    np.minimum.at(narrow, group, circuit.units)
    np.maximum.at(wide, group, circuit.units)
    bars = [
        _Bar(
            first=key // len(Kind) * band,
            last=min(key // len(Kind) * band + band - 1, deepest),
            kind=Kind(key % len(Kind)),
            nodes=int(nodes[i]),
            units=int(units[i]),
            narrow=int(narrow[i]),
            wide=int(wide[i]),
            edges=int(edges[i]),
        )
        for i, key in enumerate(keys.tolist())
    ]
    return sorted(bars, key=lambda bar: (bar.first, -bar.kind)), band


def _keys(circuit: Circuit, depth: Int, band: int) -> Int:
    return depth // band * len(Kind) + circuit.kind


def _caption(circuit: Circuit, most: int, band: int) -> tuple[str, ...]:
    together = "" if band == 1 else f" Each bar covers {band} depths."
    return (
        f"{circuit}.",
        "Drawn by depth: a bar stands for all nodes of one kind at one depth, the root on top; a "
        f"node is just below its lowest consumer. The widest bar has {counted(most, 'node')}, and "
        f"the others are to scale.{together}",
    )
