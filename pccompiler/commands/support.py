"""Arguments, options, readers and writers that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from pccompiler.datasets import Splits, Table, load_file, split
from pccompiler.datasets import load as load_named
from pccompiler.files import left_behind, write_bytes
from pccompiler.imports.read import read_circuit

if TYPE_CHECKING:
    from pccompiler.torch_backend import CompiledCircuit

CircuitFile = Annotated[
    Path,
    typer.Argument(help="A circuit: .pcir, a model folder, or a file that 'import' reads."),
]
DataDir = Annotated[
    Path | None,
    typer.Option(envvar="PCCOMPILER_DATA", help="Folder with the named data sets."),
]
AnyModel = Annotated[
    Path, typer.Argument(help="A folder that 'train' wrote, or a circuit with all weights given.")
]


def any_model(path: Path) -> CompiledCircuit:
    """A trained model from its folder, or a circuit with all weights given, in float64."""
    import pccompiler as pc

    if (path / "circuit.pcir").exists() or left_behind(path):
        return pc.load(path)
    return pc.compile(read_circuit(path), dtype="float64")


def load(data: str, data_dir: Path | None) -> Splits:
    """A named data set, or a file; a .csv is split 70/10/20 with seed 0."""
    if Path(data).suffix.lower() not in (".npz", ".csv"):
        return load_named(data, data_dir)
    content = load_file(data)
    if isinstance(content, Table):
        return split(content.values, seed=0, name=Path(data).stem)
    return content


def query_rows(data: str, data_dir: Path | None) -> NDArray[np.float64]:
    """The rows of a .csv, or the test rows of a data set (all rows if it has no test part)."""
    if Path(data).suffix.lower() == ".csv":
        content = load_file(data)
        if isinstance(content, Table):
            return content.values
    splits = load(data, data_dir)
    return np.asarray(splits.train if splits.test is None else splits.test, np.float64)


def usable_device(name: str) -> str:
    """``auto``: CUDA if available."""
    import torch

    from pccompiler.torch_backend.runtime import devices

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(devices.usable_device(name))


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file atomically."""
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def printer() -> Console:
    """The console of commands, without highlighting of numbers or line wrapping."""
    return Console(soft_wrap=True, highlight=False)
