"""``pccompiler draw``: a drawing of a circuit."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pccompiler.commands.support import CircuitFile
from pccompiler.imports.read import read_circuit


class What(StrEnum):
    """What to draw."""

    AUTO = "auto"
    CIRCUIT = "circuit"
    REGIONS = "regions"
    LAYERS = "layers"


def draw(
    file: CircuitFile,
    out: Annotated[
        Path, typer.Argument(help="The drawing: .svg, .png, .dot (Graphviz) or .mmd (Mermaid).")
    ],
    what: Annotated[
        What,
        typer.Option(
            help="Every node, a box per region, a bar per depth, or the first that is readable."
        ),
    ] = What.AUTO,
    scale: Annotated[float, typer.Option(help="Pixels of a .png per pixel of the .svg.")] = 2,
) -> None:
    """Draw a circuit, its region graph or its layers. The caption says what was merged."""
    from pccompiler.drawing import draw as draw_to

    typer.echo(draw_to(read_circuit(file), out, what=what.value, scale=scale))
