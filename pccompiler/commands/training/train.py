"""``pccompiler train``: train a model, or resume an interrupted training."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pccompiler.commands.opt import pass_names
from pccompiler.commands.support import DataDir, Separator, arranged, load, usable_device
from pccompiler.commands.training import setup
from pccompiler.commands.training.course import Course, given, report
from pccompiler.commands.training.interrupted import forget, interruptible, prepare
from pccompiler.commands.training.structures import structure_names
from pccompiler.datasets import names
from pccompiler.imports.read import read_circuit
from pccompiler.structures.registry import make

out = Console(soft_wrap=True, highlight=False)


def data_names(incomplete: str) -> list[str]:
    """The data sets whose names start like this; the shell adds files if there are none."""
    return [name for name in names() if name.startswith(incomplete)]


Data = Annotated[
    str,
    typer.Option(
        help="A data set by name, or a file: .npz with train, valid, test; .csv; .parquet; or - "
        "for standard input.",
        autocompletion=data_names,
    ),
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
        str | None,
        typer.Option(
            help="Otherwise one that 'pccompiler structures' lists, with its options in braces: "
            "'hclt{units=16}'; by default rat-spn.",
            autocompletion=structure_names,
        ),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(help="Number of trees, if the structure has several.")
    ] = None,
    units: Annotated[
        int | None,
        typer.Option(help="Width of sums, states of an hmm, or components of a mixture."),
    ] = None,
    depth: Annotated[int | None, typer.Option(help="Joins above a leaf region.")] = None,
    weights: Annotated[
        Weights | None,
        typer.Option(
            help="How sum weights are produced; direct with --em, or if the circuit has values, "
            "otherwise by a hypernetwork.",
            show_default=False,
        ),
    ] = None,
    embedding: Annotated[
        int | None, typer.Option(help="hypernetwork: length of a sector's embedding; 5.")
    ] = None,
    hidden: Annotated[
        str | None, typer.Option(help="hypernetwork: widths of its hidden layers, such as 20x20.")
    ] = None,
    passes: Annotated[
        str | None,
        typer.Option(
            help="A pipeline instead: 'sectors{by=rows},hypernet{hidden=8x8}'.",
            autocompletion=pass_names,
        ),
    ] = None,
    em: Annotated[
        bool, typer.Option("--em", help="Train by expectation maximisation, not by gradient.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            help="Training steps, by default the paper's for this data; with --em, passes over "
            "the rows, by default 100."
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows per step; with --em, by default all.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="For Adam; 0.005, or 0.02 for direct weights.")
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option(help="0, or 0.001 for direct weights.")
    ] = None,
    evaluate_every: Annotated[int | None, typer.Option(help="Steps between validations.")] = None,
    step_size: Annotated[
        float | None, typer.Option(help="--em: how far a batch moves the parameters; 1.")
    ] = None,
    pseudocount: Annotated[
        float | None, typer.Option(help="--em: prior rows of each unit; 0.1.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Validations without improvement before stopping.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="For structure, parameters and batches.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    data_dir: DataDir = None,
    separator: Separator = None,
    domain: Annotated[
        list[str] | None,
        typer.Option(help="What a column is: age=count, or its labels: color=red,green."),
    ] = None,
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
    from pccompiler.plot.curves import check_format, plot_history
    from pccompiler.torch_backend.checkpoint import check_target

    sizes = given(units=units, replicas=replicas, depth=depth)
    if circuit:
        setup.check_apart("--circuit", structure=structure, **sizes)
    network = {"embedding": embedding, "hidden": hidden}
    if passes is not None:
        setup.check_apart("--passes", **network)
    course = Course(
        em=em,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        evaluate_every=evaluate_every,
        step_size=step_size,
        pseudocount=pseudocount,
    )
    where = usable_device(device)
    check_target(out_folder)
    if plot:
        check_format(plot)
    with interruptible(out_folder) as state:
        prepare(state, resume)
        rows = load(data, data_dir, separator, domain or ())
        if circuit:
            shape = read_circuit(circuit)
        else:
            kind = structure or "rat-spn"
            shape = make(kind, rows.variables, rows.train, seed=seed, **sizes)
        rows = arranged(rows, shape)
        chosen = weights or (Weights.DIRECT if em or shape.weights.values else Weights.HYPERNETWORK)
        if chosen == Weights.DIRECT:
            setup.check_apart("direct weights", **network)
        recipe = setup.recipe(data, chosen == Weights.HYPERNETWORK)
        net = setup.hypernetwork(recipe.hypernetwork, embedding, hidden)
        if passes is not None:
            shape, net = pc.passes.PassManager.parse(passes)(shape), None
        model = pc.compile(shape, net, device=where, seed=seed)
        print(setup.described(model))
        if rows.test is not None:  # training checks the other parts
            model.checked(rows.test)
        history = course.run(
            model,
            rows,
            recipe,
            patience=patience,
            seed=seed,
            checkpoint=state,
            checkpoint_every=checkpoint_every,
        )
        pc.save(model, out_folder)
        forget(state)
    report(out, model, rows, history, em)
    if plot:
        plot_history(history, plot, title=data)
        out.print(f"curve: {plot}")
    out.print(f"model: {out_folder}")
