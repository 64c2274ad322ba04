"""``pccompiler check``: errors in a circuit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pccompiler.commands.support import printer
from pccompiler.imports.read import read_circuit


def check(file: Annotated[Path, typer.Argument(help="A circuit as text (.pcir).")]) -> None:
    """Check that a circuit is smooth, decomposable and well-formed; report all findings."""
    from pccompiler.passes import findings

    circuit = read_circuit(file)
    found = findings(circuit)
    for finding in found:
        print(finding)
    if found:
        raise typer.Exit(1)
    printer().print(f"{file}: no findings. {circuit}")
