"""Arguments, options, readers and writers that several commands share."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from pccompiler.datasets import Splits, load_file, split
from pccompiler.datasets import load as load_named
from pccompiler.datasets.columns import is_table_file, read_blocks, rows_by_name, text_columns
from pccompiler.errors import CircuitError, DataError, OptionError
from pccompiler.files import left_behind, write_bytes
from pccompiler.frames import Schema
from pccompiler.imports.read import read_circuit
from pccompiler.ir import Circuit
from pccompiler.reading import is_file
from pccompiler.tables import is_frame
from pccompiler.tables.labels import Codes

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
Separator = Annotated[
    str | None,
    typer.Option(help="Between the cells of a .csv; by default what its first line has."),
]
AnyModel = Annotated[
    Path, typer.Argument(help="A folder that 'train' wrote, or a circuit with all weights given.")
]


def any_model(path: Path) -> CompiledCircuit:
    """A trained model from its folder, or a circuit with all weights given, in float64.

    Raises:
        CircuitError: If a weight of the circuit has no values.
    """
    import pccompiler as pc

    if (path / "circuit.pcir").exists() or left_behind(path):
        return pc.load(path)
    circuit = read_circuit(path)
    weights = circuit.weights
    without = [number for number in range(len(weights)) if number not in weights.values]
    if without:
        raise CircuitError.of(
            "PC141",
            f"{path} has no values for weight {weights.label(without[0])}",
            help=f"train it: pccompiler train --circuit {path}; or give its weights values",
        )
    return pc.compile(circuit, dtype="float64")


def load(
    data: str,
    data_dir: Path | None,
    separator: str | None = None,
    domains: Sequence[str] = (),
) -> Splits:
    """A named data set, or a file; tables are split 70/10/20 with seed 0.

    Args:
        data: A name, or a file.
        data_dir: Folder of the named data sets.
        separator: See `Separator`.
        domains: Of columns, as ``--domain`` takes them.

    Raises:
        DataError: If there is no such data set, or the file cannot be read.
        OptionError: If a domain is not one that its column can have.
    """
    wishes = _wishes(domains)
    frame: object = None
    if is_table_file(data):
        text = [name for name, wish in wishes.items() if not isinstance(wish, str)]
        (frame,) = read_blocks(opened(data), separator=separator, text=text)
    if is_frame(frame):
        schema = Schema.infer(frame).replace(**wishes)
        rows = split(schema.encode(frame), seed=0, name=Path(data).stem)
        return replace(rows, declared=schema.variables)
    if wishes:
        raise OptionError.of(
            "PC812",
            f"--domain is about named columns, but {data} has none",
            help="leave it out, or give a .csv with a header or a .parquet file",
        )
    if isinstance(frame, np.ndarray):
        return split(frame, seed=0, name=Path(data).stem)
    content = load_file(data) if Path(data).suffix.casefold() == ".npz" else None
    return content if isinstance(content, Splits) else load_named(data, data_dir)


def _wishes(domains: Sequence[str]) -> dict[str, str | list[str]]:
    """Domains or labels by column, from texts like ``age=count`` and ``color=red,green``."""
    found: dict[str, str | list[str]] = {}
    for text in domains:
        name, _, wish = text.rpartition("=")
        if not name or not wish:
            raise OptionError.of(
                "PC812",
                f"--domain is {text[:60]!r}",
                help="write COLUMN=DOMAIN, such as age=count, or list labels: color=red,green",
            )
        labels = [label.strip() for label in wish.split(",")]
        found[name] = wish if len(labels) == 1 else labels
    return found


def opened(data: str) -> Path | IO[bytes]:
    """A file of rows, or the content of standard input for ``-``.

    Raises:
        DataError: If there is no such file.
    """
    if data == "-":
        return io.BytesIO(sys.stdin.buffer.read())
    if not is_file(Path(data)):
        raise DataError.of("PC411", f"there is no file {data}", help="correct the path")
    return Path(data)


def query_rows(
    data: str,
    data_dir: Path | None,
    names: Sequence[str],
    codes: Codes = (),
    *,
    separator: str | None = None,
    partial: bool = False,
) -> NDArray[np.float64]:
    """The rows of a table, or the test rows of a data set (all rows if it has no test part).

    Args:
        data: A name, or a file.
        data_dir: Folder of the named data sets.
        names: Names of the variables, which the columns of a table are matched with.
        codes: The states of labels.
        separator: See `Separator`.
        partial: Whether a variable without a column is missing in every row.
    """
    if not is_table_file(data):
        splits = load(data, data_dir)
        return np.asarray(splits.train if splits.test is None else splits.test, np.float64)
    text = text_columns(names, codes)
    (frame,) = read_blocks(opened(data), separator=separator, text=text)
    return rows_by_name(frame, names, codes, partial=partial)


def arranged(rows: Splits, circuit: Circuit) -> Splits:
    """Rows with their columns in the order of a circuit's variables, if these have their names.

    Columns that share no name with the variables are taken in their order.

    Raises:
        DataError: If some names are the same, and others are not.
    """
    schema = Schema.of(rows.declared) if rows.declared else None
    names = [variable.name for variable in circuit.variables]
    if schema is None or circuit.variables == rows.declared or set(names).isdisjoint(schema.names):
        return rows
    apart = sorted(set(names).symmetric_difference(schema.names))
    if apart:
        there = "circuit" if apart[0] in names else "table"
        raise DataError.of(
            "PC451",
            f"only the {there} has {apart[0]!r}; other columns have the names of variables",
            help="give the table a column for each variable, and no others; or rename all of them",
        )
    order = [schema.names.index(name) for name in names]
    valid, test = (None if part is None else part[:, order] for part in (rows.valid, rows.test))
    return replace(rows, train=rows.train[:, order], valid=valid, test=test)


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
