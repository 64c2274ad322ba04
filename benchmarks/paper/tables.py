"""The paper's tables: test log-likelihoods of its recipe, selected on validation rows.

python -m benchmarks.paper.tables nltcs plants --seeds 3
"""

from __future__ import annotations

import argparse
import os
import statistics

import torch

import pccompiler as pc
from benchmarks.common import Report
from pccompiler import recipes
from pccompiler.torch_backend import mean_log_likelihood


def train(
    name: str, hypernetwork: bool, seed: int, device: str, steps: int | None
) -> dict[str, float]:
    """Train once by the recipe; the values are nats and seconds."""
    data = pc.datasets.load(name, os.environ.get("PCCOMPILER_DATA"))
    recipe = recipes.paper(name, hypernetwork=hypernetwork)
    circuit = pc.rat_spn(data.num_variables, recipe.num_replicas, recipe.units, seed=seed)
    model = pc.compile(circuit, recipe.hypernetwork, device=device, seed=seed)
    history = pc.fit(
        model,
        data.train,
        data.valid,
        steps=steps or recipe.steps,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        evaluate_every=recipe.evaluate_every,
        seed=seed,
        progress=False,
    )
    return {
        "train": mean_log_likelihood(model, model.prepare(data.train[:20_000])),
        "valid": history.best_valid or 0.0,
        "test": mean_log_likelihood(model, model.prepare(data.test)),
        "best_step": history.best_step,
        "seconds": round(history.seconds, 1),
        "parameters_used": model.num_parameters,
    }


def main() -> None:
    """Run the sets that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=None, help="instead of the recipe's")
    parser.add_argument("--report", default="paper")
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    report = Report(arguments.report)
    for name in arguments.names:
        figures = pc.datasets.info(name).paper
        for hypernetwork in (True, False):
            runs = [
                train(name, hypernetwork, seed, device, arguments.steps)
                for seed in range(arguments.seeds)
            ]
            tests = [run["test"] for run in runs]
            published = None
            if figures is not None:
                published = figures.hyperspn if hypernetwork else figures.weight_decay
            report.add(
                data=name,
                model="HyperSPN" if hypernetwork else "SPN, weight decay",
                test_mean=round(statistics.mean(tests), 4),
                test_spread=round(max(tests) - min(tests), 4),
                paper=published,
                steps=arguments.steps or recipes.paper(name).steps,
                runs=runs,
            )


if __name__ == "__main__":
    main()
