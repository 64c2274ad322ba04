"""``pccompiler explain``: what will run, why, and at what cost."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pccompiler.imports.read import read_circuit


class Precision(StrEnum):
    """Precision of parameters and evaluation."""

    FLOAT32 = "float32"
    FLOAT64 = "float64"


def explain(
    file: Annotated[
        Path,
        typer.Argument(help="A circuit: .pcir, a model folder, or a file that 'import' reads."),
    ],
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda, even if not present.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Rows at a time.")] = 512,
    precision: Annotated[
        Precision, typer.Option(help="Precision of parameters and evaluation.")
    ] = Precision.FLOAT32,
    memory_budget: Annotated[
        str | None, typer.Option(help="The most bytes to use, such as '64 MiB'.")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure this machine to compute floors.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Explain how a circuit runs: its layers, the engine for each question, work and memory."""
    from json import dumps

    from pccompiler.explanation.explain import explain as explanation_of

    found = explanation_of(
        read_circuit(file),
        device=device,
        batch=batch,
        dtype=precision.value,
        memory_budget=memory_budget,
        measure=measure,
    )
    print(dumps(found.to_dict(), indent=2) if json else str(found), end="\n" if json else "")
