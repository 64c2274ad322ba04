"""``pccompiler draw``: a circuit as a picture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pccompiler.commands.support import CircuitFile
from pccompiler.imports.read import read_circuit


class What(StrEnum):
    """What is drawn."""

    AUTO = "auto"
    CIRCUIT = "circuit"
    REGIONS = "regions"
    LAYERS = "layers"


def draw(
    file: CircuitFile,
    out: Annotated[Path, typer.Argument(help="The picture: .svg or .png.")],
    what: Annotated[
        What,
        typer.Option(
            help="Every node; a box a region; a bar a depth; or what can be read of these."
        ),
    ] = What.AUTO,
    scale: Annotated[float, typer.Option(help="Of a .png: its pixels for each of the .svg's.")] = 2,
) -> None:
    """Draw a circuit, its region graph or its layers. The caption says what was put together."""
    from pccompiler.drawing import draw as draw_to

    typer.echo(draw_to(read_circuit(file), out, what=what.value, scale=scale))
