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

Data = Annotated[
    str, typer.Option(help="A data set by name, or a file: .npz with train, valid, test; or .csv.")
]
Model = Annotated[Path, typer.Argument(help="A folder that 'train' wrote.")]


class Structure(StrEnum):
    """Built-in structures."""

    RAT_SPN = "rat-spn"
    HMM = "hmm"
    MIXTURE = "mixture"


class Weights(StrEnum):
    """How sum weights come to be."""

    HYPERNETWORK = "hypernetwork"
    DIRECT = "direct"


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
        app()
    except PCCompilerError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    except OSError as error:  # of files: what cannot be read or written
        print(support.of_file(error), file=sys.stderr)
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
def train(
    data: Data,
    out_folder: Annotated[
        Path, typer.Option("--out", help="Folder for the model; a checkpoint there is replaced.")
    ],
    circuit: Annotated[Path | None, typer.Option(help="A circuit of your own (.pcir).")] = None,
    structure: Annotated[
        Structure, typer.Option(help="Otherwise: a built-in structure.")
    ] = Structure.RAT_SPN,
    replicas: Annotated[int, typer.Option(help="rat-spn: trees.")] = 50,
    units: Annotated[
        int, typer.Option(help="Width of sums; states of an hmm; components of a mixture.")
    ] = 5,
    depth: Annotated[int | None, typer.Option(help="rat-spn: joins above a leaf region.")] = None,
    weights: Annotated[
        Weights, typer.Option(help="How sum weights come to be.")
    ] = Weights.HYPERNETWORK,
    embedding: Annotated[
        int, typer.Option(help="hypernetwork: length of a sector's embedding.")
    ] = 5,
    hidden: Annotated[
        str | None, typer.Option(help="hypernetwork: widths of its hidden layers, as 20x20.")
    ] = None,
    passes: Annotated[
        str | None,
        typer.Option(help="A pipeline instead, as 'sectors{by=rows},hypernet{hidden=8x8}'."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Training steps; by default the paper's for this data.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows a step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Adam's; 0.005, or 0.02 for direct weights.")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="0, or 0.001 for direct weights.")
    ] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Steps between looks at validation.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Looks without improvement before stopping.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of structure, parameters and batches.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    data_dir: DataDir = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the training curve to this file.")] = None,
) -> None:
    """Train a circuit, keep the parameters that are best on validation, and save the model."""
    import pccompiler as pc
    from pccompiler.plots import check_format
    from pccompiler.torch_backend import mean_log_likelihood
    from pccompiler.torch_backend.checkpoint import check_target

    rows = support.load(data, data_dir)
    recipe = support.recipe(data, weights == Weights.HYPERNETWORK)
    net = support.hypernetwork(recipe.hypernetwork, embedding, hidden)
    shape = (
        support.read_circuit(circuit)
        if circuit
        else support.structure(structure, rows, replicas, units, depth, seed)
    )
    check_target(out_folder)
    if plot:
        check_format(plot)
    if passes is not None:
        shape, net = pc.passes.PassManager.parse(passes)(shape), None
    model = pc.compile(shape, net, device=support.device(device), seed=seed)
    out.print(f"{model.circuit}\n{model.num_parameters:,} parameters on {model.device}")
    if rows.test is not None:  # fit checks the other parts
        model.checked(rows.test)
    history = pc.fit(
        model,
        rows.train,
        rows.valid,
        steps=support.default(steps, recipe.steps),
        batch_size=support.default(batch_size, recipe.batch_size),
        learning_rate=recipe.learning_rate if learning_rate is None else learning_rate,
        weight_decay=recipe.weight_decay if weight_decay is None else weight_decay,
        evaluate_every=support.default(
            evaluate_every, min(recipe.evaluate_every, support.default(steps, recipe.steps))
        ),
        patience=patience,
        seed=seed,
    )
    pc.save(model, out_folder)
    out.print(
        f"trained {history.evaluations[-1].step:,} steps in {history.seconds:.1f} s; "
        f"best at {history.best_step:,}"
    )
    for name, value in (("validation", rows.valid), ("test", rows.test)):
        if value is not None:
            mean = mean_log_likelihood(model, model.prepare(value))
            out.print(f"{name} log-likelihood {mean:.4f} nats a row")
    if plot:
        out.print(f"curve: {pc.plot_history(history, plot, title=data)}")
    out.print(f"model: {out_folder}")


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
