"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(envvar="PCCOMPILER_DATA", help="Folder with the named data sets."),
]
AnyModel = Annotated[
    Path, typer.Argument(help="A folder that 'train' wrote, or a circuit with all weights given.")
]
