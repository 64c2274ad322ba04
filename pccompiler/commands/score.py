"""``pccompiler score``: log-likelihoods of rows, also for files larger than memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from pccompiler.commands.support import (
    AnyModel,
    DataDir,
    Separator,
    any_model,
    opened,
    query_rows,
)
from pccompiler.datasets.columns import is_table_file, read_blocks, rows_by_name, text_columns
from pccompiler.errors import OptionError
from pccompiler.files import replacing

if TYPE_CHECKING:
    from pccompiler.torch_backend import CompiledCircuit

_ROWS = 8192
"""Rows of a table in memory at a time, unless the command line says otherwise."""


def score(
    model: AnyModel,
    data: Annotated[
        str,
        typer.Argument(
            help="Rows: a .npy, .csv or .parquet of any size, - for standard input, or a data "
            "set's test rows."
        ),
    ],
    file: Annotated[Path, typer.Option("--out", help="Write a .npy or .csv here.")],
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Rows in memory at a time; by default model-specific.")
    ] = None,
    data_dir: DataDir = None,
    separator: Separator = None,
) -> None:
    """Write the log-likelihood of each row, in nats, in order, batch by batch."""
    if file.suffix.lower() not in (".npy", ".csv"):
        raise OptionError.of(
            "PC366", f"scores cannot be written as {file.name}", help="name a .npy or .csv"
        )
    from pccompiler.torch_backend.queries.stream import log_likelihood_stream

    loaded = any_model(model)
    source = _source(loaded, data, data_dir, separator, batch_size or _ROWS)
    values = log_likelihood_stream(loaded, source, batch_size=batch_size)
    number, total = write_scores(file, values)
    mean = total / number if number else float("nan")
    typer.echo(f"{number} rows, mean log-likelihood {mean:.6f} nats: {file}")


def write_scores(file: Path, values: Iterator[NDArray[np.float64]]) -> tuple[int, float]:
    """Write values batch by batch, atomically; returns their number and sum."""
    with replacing(file) as staging:
        return (_npy if file.suffix.lower() == ".npy" else _csv)(staging, values)


def _csv(file: Path, values: Iterator[NDArray[np.float64]]) -> tuple[int, float]:
    number, total = 0, 0.0
    with file.open("w", encoding="utf-8", newline="") as text:
        text.write("log_likelihood\n")
        for block in values:
            text.writelines(f"{value!r}\n" for value in block.tolist())
            number, total = number + len(block), total + float(block.sum())
    return number, total


def _npy(file: Path, values: Iterator[NDArray[np.float64]]) -> tuple[int, float]:
    """Write the header after the values, as the number of rows is known only then."""
    number, total = 0, 0.0
    with tempfile.TemporaryFile(dir=file.parent) as raw:
        for block in values:
            raw.write(np.ascontiguousarray(block, "<f8").tobytes())
            number, total = number + len(block), total + float(block.sum())
        raw.seek(0)
        header: dict[str, Any] = {"descr": "<f8", "fortran_order": False, "shape": (number,)}
        with file.open("wb") as whole:
            np.lib.format.write_array_header_1_0(whole, header)
            shutil.copyfileobj(raw, whole)
    return number, total


def _source(
    model: CompiledCircuit, data: str, data_dir: Path | None, separator: str | None, size: int
) -> Path | Iterator[NDArray[np.float64]]:
    if Path(data).suffix.casefold() == ".npy":
        return Path(data)
    if not is_table_file(data):
        return iter([query_rows(data, data_dir, model.names)])
    text = text_columns(model.names, model.codes)
    found = read_blocks(opened(data), size, separator=separator, text=text)
    return (rows_by_name(block, model.names, model.codes) for block in found)
