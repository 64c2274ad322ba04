"""``pccompiler train``: train a model, or resume an interrupted training."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pccompiler.commands.support import DataDir, load, usable_device
from pccompiler.commands.training import setup
from pccompiler.commands.training.interrupted import forget, interruptible, prepare
from pccompiler.imports.read import read_circuit
from pccompiler.structures.registry import make

if TYPE_CHECKING:
    from pccompiler.torch_backend import History

out = Console(soft_wrap=True, highlight=False)

Data = Annotated[
    str, typer.Option(help="A data set by name, or a file: .npz with train, valid, test; or .csv.")
]


class Weights(StrEnum):
    """How sum weights are produced."""

    HYPERNETWORK = "hypernetwork"
    DIRECT = "direct"


def train(
    data: Data,
    out_folder: Annotated[
        Path, typer.Option("--out", help="Folder for the model; a checkpoint there is replaced.")
    ],
    circuit: Annotated[Path | None, typer.Option(help="A circuit of your own (.pcir).")] = None,
    structure: Annotated[
        str, typer.Option(help="Otherwise rat-spn, hmm, mixture, or one of another package.")
    ] = "rat-spn",
    replicas: Annotated[int, typer.Option(help="rat-spn: trees.")] = 50,
    units: Annotated[
        int, typer.Option(help="Width of sums; states of an hmm; components of a mixture.")
    ] = 5,
    depth: Annotated[int | None, typer.Option(help="rat-spn: joins above a leaf region.")] = None,
    weights: Annotated[
        Weights, typer.Option(help="How sum weights are produced.")
    ] = Weights.HYPERNETWORK,
    embedding: Annotated[
        int, typer.Option(help="hypernetwork: length of a sector's embedding.")
    ] = 5,
    hidden: Annotated[
        str | None, typer.Option(help="hypernetwork: widths of its hidden layers, such as 20x20.")
    ] = None,
    passes: Annotated[
        str | None,
        typer.Option(help="A pipeline instead: 'sectors{by=rows},hypernet{hidden=8x8}'."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Training steps; by default the paper's for this data.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="For Adam; 0.005, or 0.02 for direct weights.")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="0, or 0.001 for direct weights.")
    ] = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Steps between validations.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Validations without improvement before stopping.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For structure, parameters and batches.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    data_dir: DataDir = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the training curve to this file.")] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--restart",
            help="Continue an interrupted training of this model, or start over.",
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps between two checkpoints; by default two minutes.")
    ] = None,
) -> None:
    """Train a circuit, keep the best parameters on the validation rows, and save the model."""
    import pccompiler as pc
    from pccompiler.plot.curves import check_format
    from pccompiler.torch_backend import mean_log_likelihood
    from pccompiler.torch_backend.checkpoint import check_target

    check_target(out_folder)
    with interruptible(out_folder) as state:
        prepare(state, resume)
        rows = load(data, data_dir)
        recipe = setup.recipe(data, weights == Weights.HYPERNETWORK)
        net = setup.hypernetwork(recipe.hypernetwork, embedding, hidden)
        shape = (
            read_circuit(circuit)
            if circuit
            else make(
                structure,
                setup.variables_of(rows),
                units=units,
                replicas=replicas,
                depth=depth,
                seed=seed,
            )
        )
        if plot:
            check_format(plot)
        if passes is not None:
            shape, net = pc.passes.PassManager.parse(passes)(shape), None
        model = pc.compile(shape, net, device=usable_device(device), seed=seed)
        out.print(f"{model.circuit}\n{model.num_parameters:,} parameters on {model.device}")
        if rows.test is not None:  # fit checks the other parts
            model.checked(rows.test)
        history = pc.fit(
            model,
            rows.train,
            rows.valid,
            steps=setup.default(steps, recipe.steps),
            batch_size=setup.default(batch_size, recipe.batch_size),
            learning_rate=recipe.learning_rate if learning_rate is None else learning_rate,
            weight_decay=recipe.weight_decay if weight_decay is None else weight_decay,
            evaluate_every=setup.default(
                evaluate_every, min(recipe.evaluate_every, setup.default(steps, recipe.steps))
            ),
            patience=patience,
            seed=seed,
            checkpoint=state,
            checkpoint_every=checkpoint_every,
        )
        pc.save(model, out_folder)
        forget(state)
        out.print(
            f"trained {history.evaluations[-1].step:,} steps in {history.seconds:.1f} s; "
            f"best at {history.best_step:,}"
        )
        for name, value in (("validation", rows.valid), ("test", rows.test)):
            if value is not None:
                mean = mean_log_likelihood(model, model.prepare(value))
                out.print(f"{name} log-likelihood {mean:.4f} nats a row")
        if plot:
            out.print(f"curve: {_curve(history, plot, data)}")
        out.print(f"model: {out_folder}")


def _curve(history: History, path: Path, title: str) -> Path:
    """Draw the training curve to a file."""
    from pccompiler.plot.curves import plot_history

    plot_history(history, path, title=title)
    return path
