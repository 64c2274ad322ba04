"""``pccompiler sample``, ``complete`` and ``marginals``: queries on a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pccompiler.commands.support import AnyModel, DataDir, any_model, query_rows, write_lines

Rows = Annotated[
    str, typer.Argument(help="Rows: a .csv (empty cells are missing), or a data set's test rows.")
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
) -> None:
    """Draw rows, or the missing values of given rows; as .csv."""
    loaded = any_model(model)
    if given is None:
        draws = loaded.sample(number, seed=seed)
    else:
        rows = query_rows(given, data_dir)
        draws = loaded.sample_conditional(rows, number, seed=seed).flatten(0, 1)
    _table(file, [v.name for v in loaded.circuit.variables], draws.tolist())


def complete(model: AnyModel, data: Rows, file: Out = None, data_dir: DataDir = None) -> None:
    """Fill in the missing values of each row with a most probable completion; as .csv."""
    loaded = any_model(model)
    found = loaded.mpe(query_rows(data, data_dir))
    names = [v.name for v in loaded.circuit.variables]
    values = found.log_value.unsqueeze(1).double()
    rows = [row + value for row, value in zip(found.rows.tolist(), values.tolist(), strict=True)]
    _table(file, [*names, "log_density"], rows)
    if not found.exact:
        typer.echo(
            "max-product decoding: the circuit is not known to be deterministic, so other "
            "completions may be more probable",
            err=True,
        )


def marginals(model: AnyModel, data: Rows, file: Out = None, data_dir: DataDir = None) -> None:
    """The mean of every variable given the known values of each row; as .csv.

    For a binary variable it is the probability of 1.
    """
    loaded = any_model(model)
    found = loaded.posterior_marginals(query_rows(data, data_dir))
    names = [v.name for v in loaded.circuit.variables]
    means = found.mean.double().tolist()
    logs = found.log_evidence.double().tolist()
    _table(file, [*names, "log_evidence"], [[*m, log] for m, log in zip(means, logs, strict=True)])


def _table(file: Path | None, names: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
    """Print a table as .csv, or write it."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([f"{value:.7g}" for value in row] for row in rows)
    if file is None:
        print(text.getvalue(), end="")
    else:
        write_lines(file, text.getvalue().splitlines())
