"""Mini-batch EM beside Adam on hidden Chow-Liu trees: the best validation value in equal time.

    python -m benchmarks.steps.em_converges [--seconds 4] [--states 32] [--data-dir DIR] [set ...]

Each method gets the same wall-clock time on the same model, evaluations on validation data
included, with three settings: Adam's learning rate, or EM's step size. Batches have 500 rows. The
clock starts after the first evaluation, so that compiling kernels does not count.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from functools import partial

import numpy as np

import pccompiler as pc
from benchmarks.common import Report
from pccompiler import datasets, structures
from pccompiler.torch_backend.training.history import Evaluation

SETS = ("plants", "jester", "accidents", "pumsb_star", "dna", "cwebkb")
NEVER = 10**7


class OutOfTimeError(Exception):
    """Ends a training."""


def best_of(train: Callable[..., object], seconds: float) -> tuple[float, int]:
    """The best validation value within the time, in nats, and the number of evaluations."""
    values: list[float] = []
    start: list[float] = []

    def look(record: Evaluation) -> None:
        start[:] = start or [time.perf_counter()]
        values.append(float(record.valid or np.nan))
        if time.perf_counter() - start[0] > seconds:
            raise OutOfTimeError

    with contextlib.suppress(OutOfTimeError):
        train(on_evaluation=look, progress=False)
    return max(values), len(values)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--states", type=int, default=32)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--data-dir")
    parser.add_argument("sets", nargs="*", default=SETS)
    chosen, report = parser.parse_args(), Report("em_converges")
    for name in chosen.sets:
        data = datasets.load(name, chosen.data_dir)
        circuit = structures.hclt(np.asarray(data.train), chosen.states)
        every = max(1, len(data.train) // 500)
        trainings: list[tuple[str, float, Callable[..., object]]] = []
        for rate in (0.03, 0.01, 0.003):
            adam = partial(pc.fit, steps=NEVER, batch_size=500, learning_rate=rate)
            trainings.append(("adam", rate, partial(adam, evaluate_every=every)))
        for method in ("running", "anemone"):
            for step in (0.4, 0.1, 0.02):
                em = partial(pc.fit_em, iterations=NEVER, batch_size=500, step_size=step)
                trainings.append((method, step, partial(em, method=method, pseudocount=0.01)))
        for method, setting, train in trainings:
            model = pc.compile(circuit, device=chosen.device, seed=0)
            value, number = best_of(partial(train, model, data.train, data.valid), chosen.seconds)
            report.add(set=name, method=method, setting=setting, valid=value, evaluations=number)


if __name__ == "__main__":
    main()
