"""The main job, start to end: train a HyperSPN and its rival, export, query through ONNX Runtime.

    make demo

On NLTCS where it is at hand (``PCCOMPILER_DATA``, or the user's cache), else on a set generated from
the paper's recipe. Writes to out/demo: both models, the ONNX file, and the training curves.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import torch

import pccompiler as pc
from pccompiler import recipes
from pccompiler.datasets import Dataset, hand_designed, load
from pccompiler.torch_backend import mean_log_likelihood

OUT = Path("out/demo")


def choose_data() -> Dataset:
    """NLTCS if it is on this machine, else generated rows; nothing is downloaded."""
    try:
        return load("nltcs", os.environ.get("PCCOMPILER_DATA"), download=False)
    except pc.PCCompilerError:
        print("NLTCS is not on this machine: generating rows by the paper's recipe (section 5)")
        return hand_designed(seed=0, num_rows=4000, num_variables=32)


def train(data: Dataset, hypernetwork: bool) -> tuple[pc.CompiledCircuit, pc.History]:
    """Train one of the two models by the paper's recipe."""
    recipe = recipes.paper("nltcs", hypernetwork=hypernetwork)
    circuit = pc.rat_spn(data.num_variables, recipe.num_replicas, recipe.units, seed=0)
    model = pc.compile(circuit, recipe.hypernetwork, seed=0)
    history = pc.fit(
        model,
        data.train,
        data.valid,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        evaluate_every=recipe.evaluate_every,
        patience=8,
    )
    return model, history


def main() -> None:
    """Run the demo, and print what it found."""
    data = choose_data()
    paper = pc.datasets.info("nltcs").paper if data.name == "nltcs" else None
    published = {"HyperSPN": paper.hyperspn, "SPN+WD": paper.weight_decay} if paper else {}
    print(f"{data.name}: {len(data.train):,} training rows, {data.num_variables} variables\n")
    models: dict[str, pc.CompiledCircuit] = {}
    histories: dict[str, pc.History] = {}
    for name, hypernetwork in (("HyperSPN", True), ("SPN+WD", False)):
        model, history = train(data, hypernetwork)
        test = mean_log_likelihood(model, model.prepare(data.test))
        known = f", the paper {published[name]:.2f}" if name in published else ""
        print(
            f"{name:<9} {model.num_parameters:>7,} parameters, {history.seconds:5.1f} s, "
            f"test log-likelihood {test:.4f} nats{known}"
        )
        models[name], histories[name] = model, history
        pc.save(model, OUT / name.lower().replace("+", "-"))
    picture = pc.plot_history(histories, OUT / "curves.png", title=data.name)

    model = models["HyperSPN"]
    report = pc.export_onnx(model, OUT / "hyperspn.onnx")
    print(f"\n{report.path}: {report.bytes:,} bytes, checked on {report.rows_checked} rows")
    rows = data.test[:1000].astype(np.float64)
    rows[np.random.default_rng(0).random(rows.shape) < 0.3] = np.nan  # 30 % missing
    by_onnx = pc.OnnxModel(report.path).log_likelihood(rows)
    with torch.no_grad():
        by_torch = pc.load(OUT / "hyperspn").log_likelihood(rows).double().numpy()
    worst = float(np.abs((by_onnx - by_torch) / by_torch).max())
    print(f"log-marginal of the first row with its gaps: {by_onnx[0]:.4f} nats")
    print(
        f"ONNX Runtime and torch differ by {worst:.1e} at most, relative, on 1,000 rows with gaps"
    )
    print(f"curves: {picture}")
    if worst > 1e-5:
        sys.exit("the backends disagree")


if __name__ == "__main__":
    main()
