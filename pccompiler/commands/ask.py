"""``pccompiler sample``, ``complete`` and ``marginals``: queries on a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from pccompiler.commands.support import (
    AnyModel,
    DataDir,
    Separator,
    any_model,
    query_rows,
    write_lines,
)
from pccompiler.frames.columns import is_numeric, source_of
from pccompiler.ir.variables import Label

if TYPE_CHECKING:
    from torch import Tensor

    from pccompiler.torch_backend import CompiledCircuit

Rows = Annotated[
    str,
    typer.Argument(
        help="Rows: a .csv (empty cells are missing), a .parquet, - for standard input, or a data "
        "set's test rows."
    ),
]
Out = Annotated[Path | None, typer.Option("--out", help="Write a .csv here.")]


def sample(
    model: AnyModel,
    number: Annotated[int, typer.Argument(min=1, help="Rows to draw, or per row of --given.")],
    given: Annotated[
        str | None, typer.Option(help="Rows whose missing values are drawn instead.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    file: Out = None,
    data_dir: DataDir = None,
    separator: Separator = None,
) -> None:
    """Draw rows, or the missing values of given rows; as .csv."""
    loaded = any_model(model)
    if given is None:
        draws = loaded.sampled(number, seed)
    else:
        rows = _rows(loaded, given, data_dir, separator)
        draws = loaded.sample_conditional(rows, number, seed=seed).flatten(0, 1)
    _table(file, _columns(loaded, draws))


def complete(
    model: AnyModel,
    data: Rows,
    file: Out = None,
    data_dir: DataDir = None,
    separator: Separator = None,
) -> None:
    """Fill in the missing values of each row with a most probable completion; as .csv."""
    loaded = any_model(model)
    found = loaded.mpe(_rows(loaded, data, data_dir, separator))
    columns = _columns(loaded, found.rows)
    _table(file, {**columns, "log_density": found.log_value.double().tolist()})
    if not found.exact:
        typer.echo(
            "max-product decoding: the circuit is not known to be deterministic, so other "
            "completions may be more probable",
            err=True,
        )


def marginals(
    model: AnyModel,
    data: Rows,
    file: Out = None,
    data_dir: DataDir = None,
    separator: Separator = None,
) -> None:
    """The mean of every variable given the known values of each row; as .csv.

    For a binary variable it is the probability of 1. A column with labels has the probability of
    each label instead.
    """
    loaded = any_model(model)
    found = loaded.posterior_marginals(_rows(loaded, data, data_dir, separator))
    columns: dict[str, list[float]] = {}
    for place, variable in enumerate(loaded.circuit.variables):
        name = loaded.names[place]
        if is_numeric(variable):
            columns[name] = found.mean[:, place].double().tolist()
            continue
        for state, label in enumerate(source_of(variable).labels):
            columns[f"{name}={label}"] = found.states[:, place, state].double().tolist()
    _table(file, {**columns, "log_evidence": found.log_evidence.double().tolist()})


def _rows(
    model: CompiledCircuit, data: str, data_dir: Path | None, separator: str | None
) -> NDArray[np.float64]:
    return query_rows(data, data_dir, model.names, model.codes, separator=separator, partial=True)


def _columns(model: CompiledCircuit, rows: Tensor) -> Mapping[str, Sequence[Label | None]]:
    """Rows by column, with labels if the model has a schema."""
    if model.schema is not None:
        return model.schema.lists(rows)
    return dict(zip(model.names, rows.double().T.tolist(), strict=True))


def _table(file: Path | None, columns: Mapping[str, Sequence[Label | None]]) -> None:
    """Print a table as .csv, or write it."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([f"{v:.7g}" if isinstance(v, float) else v for v in row])
    if file is None:
        print(text.getvalue(), end="")
    else:
        write_lines(file, text.getvalue().splitlines())
