"""The command line. Further commands are in `pccompiler.commands`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pccompiler import cli_support as support
from pccompiler.commands.ask import complete, marginals, sample
from pccompiler.commands.bench import bench
from pccompiler.commands.datasets import datasets
from pccompiler.commands.draw import draw
from pccompiler.commands.import_ import import_
from pccompiler.commands.opt import opt, passes
from pccompiler.commands.options import DataDir
from pccompiler.commands.properties import properties
from pccompiler.commands.score import score
from pccompiler.commands.train import train
from pccompiler.errors import PCCompilerError

app = typer.Typer(
    name="pccompiler",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""A compiler for probabilistic circuits.

**A first session**

    pccompiler train --data nltcs --out out/nltcs      # train a HyperSPN by the paper's recipe

    pccompiler show out/nltcs                          # what was trained

    pccompiler export out/nltcs out/nltcs.onnx         # checked against the oracle

    pccompiler query out/nltcs.onnx rows.csv           # log-likelihoods through ONNX Runtime

Circuits of your own are text files (`.pcir`); `pccompiler check FILE` says what is wrong with one.
""",
)
app.command()(train)
app.command()(sample)
app.command()(complete)
app.command()(marginals)
app.command()(score)
app.command()(opt)
app.command()(passes)
app.command()(draw)
app.command("import")(import_)
app.command()(properties)
app.command()(datasets)
app.command()(bench)
out = Console(soft_wrap=True, highlight=False)

Model = Annotated[Path, typer.Argument(help="A folder that 'train' wrote.")]


class Kind(StrEnum):
    """How ONNX files hold weights."""

    COMPACT = "compact"
    MATERIALIZED = "materialized"


class Part(StrEnum):
    """What 'show' prints."""

    STATS = "stats"
    IR = "ir"
    SECTORS = "sectors"
    PLAN = "plan"


def main() -> None:
    """Run the command line; what a user can mend is told without a traceback."""
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except PCCompilerError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:  # of files: what cannot be read or written
        print(support.of_file(error), file=sys.stderr)
        support.give_up_output()
        raise SystemExit(1) from None


@app.command()
def check(file: Annotated[Path, typer.Argument(help="A circuit as text (.pcir).")]) -> None:
    """Check a circuit: smooth, decomposable, well-formed. All findings, with a way out."""
    from pccompiler.passes import findings

    circuit = support.read_circuit(file)
    found = findings(circuit)
    for finding in found:
        print(finding)
    if found:
        raise typer.Exit(1)
    out.print(f"{file}: no findings. {circuit}")


@app.command()
def show(
    path: Annotated[
        Path, typer.Argument(help="A circuit as text (.pcir), or a folder that 'train' wrote.")
    ],
    part: Annotated[Part, typer.Option(help="What to print.")] = Part.STATS,
) -> None:
    """Show a circuit: its counts, its text, its sectors, or the plan that runs it."""
    circuit = support.read_circuit(path)
    if part == Part.IR:
        from pccompiler.ir import to_text

        print(to_text(circuit), end="")
    elif part == Part.SECTORS:
        out.print(support.sector_table(circuit))
    elif part == Part.PLAN:
        from pccompiler.passes import plan, verify

        verify(circuit)
        print(plan(circuit).summary(), end="")
    else:
        out.print(support.statistics_table(circuit))


@app.command()
def export(
    model: Model,
    file: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
    weights: Annotated[
        Kind, typer.Option(help="Parameters and hypernetwork, or the weights it makes.")
    ] = Kind.COMPACT,
) -> None:
    """Export a model to ONNX; it is checked against the float64 oracle before the file appears."""
    import pccompiler as pc

    report = pc.export_onnx(pc.load(model), file, weights=weights.value)
    out.print(
        f"{report.path}: {report.bytes:,} bytes, {report.nodes} nodes, largest relative error "
        f"{report.max_relative_error:.1e} on {report.rows_checked} rows"
    )


@app.command()
def query(
    model: Annotated[
        Path,
        typer.Argument(
            help="A folder that 'train' wrote (torch), or an .onnx file (ONNX Runtime)."
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(help="Rows: a .csv (empty cells are missing), or a data set's test rows."),
    ],
    file: Annotated[
        Path | None, typer.Option("--out", help="Write one log-likelihood a line here.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Log-likelihood of each row, in nats; missing values are integrated out."""
    import numpy as np

    rows = np.asarray(support.query_rows(data, data_dir), np.float64)
    if model.suffix == ".onnx":
        from pccompiler.onnx_backend import OnnxModel

        values = OnnxModel(model).log_likelihood(rows)
    else:
        values = support.torch_values(model, rows)
    if file is None:
        print("\n".join(f"{value:.6f}" for value in values))
    else:
        support.write_lines(file, [f"{value!r}" for value in values.tolist()])
    print(f"mean {values.mean():.4f} nats over {len(values):,} rows", file=sys.stderr)


if __name__ == "__main__":
    main()
