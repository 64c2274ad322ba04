"""Writes scenes as PNG with matplotlib."""

from __future__ import annotations

import io
from typing import Any

from pccompiler.drawing.scene import Box, Disc, Path, Scene, Text
from pccompiler.drawing.svg import sign_lines

MOST_PIXELS = 12_000
"""The most pixels per side."""
LEGIBLE = 4.0
"""Text smaller than this, in pixels, is left out."""


def to_png(scene: Scene, scale: float = 2.0) -> bytes:
    """The picture as PNG.

    Args:
        scene: The picture.
        scale: Pixels of the PNG per pixel of the scene; reduced if the PNG would be too large.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scale = min(scale, MOST_PIXELS / max(scene.width, scene.height))
    figure = Figure(figsize=(scene.width * scale / 72, scene.height * scale / 72), dpi=72)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, scene.width)
    axes.set_ylim(scene.height, 0)
    axes.set_axis_off()
    _lines(axes, [s for s in scene.shapes if isinstance(s, Path)], scale)
    _boxes(axes, [s for s in scene.shapes if isinstance(s, Box)], scale)
    _discs(axes, [s for s in scene.shapes if isinstance(s, Disc)], scale)
    _texts(axes, [s for s in scene.shapes if isinstance(s, Text)], scale)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=72)
    return content.getvalue()


def _lines(axes: Any, paths: list[Path], scale: float) -> None:  # matplotlib's stubs are partial
    from matplotlib.collections import LineCollection

    axes.add_collection(
        LineCollection(
            [path.points for path in paths],
            colors=[path.line for path in paths],
            linewidths=[path.width * scale for path in paths],
            zorder=1,
        )
    )


def _boxes(axes: Any, boxes: list[Box], scale: float) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import FancyBboxPatch

    patches = [
        FancyBboxPatch(
            (box.x - box.width / 2, box.y - box.height / 2),
            box.width,
            box.height,
            boxstyle=f"round,pad=0,rounding_size={min(box.radius, box.width / 2, box.height / 2)}",
        )
        for box in boxes
    ]
    axes.add_collection(
        PatchCollection(
            patches,
            facecolors=[box.fill for box in boxes],
            edgecolors=[box.line for box in boxes],
            linewidths=scale,
            zorder=2,
        )
    )


def _discs(axes: Any, discs: list[Disc], scale: float) -> None:
    from matplotlib.collections import EllipseCollection, LineCollection

    rings = [(d, d.radius) for d in discs]
    rings += [(d, d.radius * 0.7) for d in discs if d.sign == "xx"]
    if not rings:
        return
    diameters = [2 * radius for _, radius in rings]
    axes.add_collection(
        EllipseCollection(
            diameters,
            diameters,
            [0.0] * len(rings),
            units="xy",
            offsets=[(d.x, d.y) for d, _ in rings],
            transOffset=axes.transData,
            facecolors=[d.fill for d, _ in rings],
            edgecolors=[d.line for d, _ in rings],
            linewidths=scale,
            zorder=3,
        )
    )
    signed = [disc for disc in discs if disc.sign]
    strokes = [
        (stroke, disc.line)
        for disc in signed
        for stroke in sign_lines(disc, disc.radius * (0.5 if disc.sign == "+" else 0.4))
    ]
    axes.add_collection(
        LineCollection(
            [stroke for stroke, _ in strokes],
            colors=[line for _, line in strokes],
            linewidths=1.6 * scale,
            zorder=4,
        )
    )


def _texts(axes: Any, texts: list[Text], scale: float) -> None:
    from matplotlib import patheffects

    align = {"start": "left", "middle": "center", "end": "right"}
    for text in texts:
        if text.size * scale < LEGIBLE:
            continue
        drawn = axes.text(
            text.x,
            text.y,
            text.text,
            fontsize=0.93 * text.size * scale,
            ha=align[text.anchor],
            va="center_baseline",
            color=text.color,
            zorder=5,
        )
        if text.halo:
            white = patheffects.withStroke(linewidth=3 * scale, foreground="white")
            drawn.set_path_effects([white])
