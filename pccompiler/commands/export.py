"""``pccompiler export``: a trained model as an ONNX file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pccompiler.commands.support import printer


class Weights(StrEnum):
    """How ONNX files store weights."""

    COMPACT = "compact"
    MATERIALIZED = "materialized"


def export(
    model: Annotated[Path, typer.Argument(help="A folder that 'train' wrote.")],
    file: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
    weights: Annotated[
        Weights, typer.Option(help="Parameters and hypernetwork, or the generated weights.")
    ] = Weights.COMPACT,
) -> None:
    """Export a model to ONNX, after checking it against the float64 oracle."""
    import pccompiler as pc

    report = pc.export_onnx(pc.load(model), file, weights=weights.value)
    printer().print(
        f"{report.path}: {report.bytes:,} bytes, {report.nodes} nodes, largest relative error "
        f"{report.max_relative_error:.1e} on {report.rows_checked} rows"
    )
