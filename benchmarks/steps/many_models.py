"""Many models in one CUDA graph: time of a step of all beside that of one, and of whole trainings.

    python -m benchmarks.steps.many_models [--models 32] [--variables 16 100] [--steps 2000]

The paper's RAT-SPNs (k = 5, r = 50) with a hypernetwork, batch 500. "step" is a replay of the graph
alone; "fit_many" and "fit" are whole calls by the clock, with drawing of batches, evaluations and
captures, so "fit" also shows how little a single training leaves to gain.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.torch_backend.training.optimizers.adam import make_adam
from pccompiler.torch_backend.training.stepper import Stepper
from pccompiler.torch_backend.training.together import Graph, Member, Rows, Run, Schedule

ADAM = partial(make_adam, rate=5e-3, decay=0.0)
SCHEDULE = Schedule(steps=1, batch_size=500, evaluate_every=1, patience=None)


def milliseconds(run: Callable[[], object], repeats: int = 200) -> float:
    """Median time of a run on the device."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    for _ in range(10):
        run()
    for event in events[:-1]:
        event.record()
        run()
    events[-1].record()
    torch.cuda.synchronize()
    times: list[float] = [a.elapsed_time(b) for a, b in itertools.pairwise(events)]
    return round(statistics.median(times), 4)


def models(n: int, number: int) -> list[pc.CompiledCircuit]:
    """Models of the paper's circuit, with seeds 0, 1, and so on."""
    circuit, net = pc.rat_spn(n, 50, 5, seed=0), pc.Hypernetwork()
    return [pc.compile(circuit, net, device="cuda", seed=seed) for seed in range(number)]


def steps(n: int, number: int, data: torch.Tensor) -> dict[str, float]:
    """Milliseconds of a step of one model and of all."""
    own = Stepper(models(n, 1)[0], data, None, 500, ADAM, cuda_graph=True)
    assert own.graph is not None
    one = milliseconds(own.graph.replay)
    rows = Rows(data, None)
    members = [
        Member(model, Run(seed=seed, learning_rate=5e-3, weight_decay=0.0), rows, SCHEDULE)
        for seed, model in enumerate(models(n, number))
    ]
    all_of_them = milliseconds(Graph(members).graph.replay)
    return {"one_ms": one, "all_ms": all_of_them, "times_one": round(all_of_them / one, 2)}


def trainings(n: int, number: int, data: torch.Tensor, taken: int) -> dict[str, float]:
    """Seconds of whole calls, and the largest difference between parameters."""
    circuit, net = pc.rat_spn(n, 50, 5, seed=0), pc.Hypernetwork()
    valid = data[:500]
    start = time.perf_counter()
    found = pc.fit_many(
        circuit, data, valid, net, seeds=number, device="cuda", steps=taken, progress=False
    )
    together = time.perf_counter() - start
    start = time.perf_counter()
    own = pc.compile(circuit, net, device="cuda", seed=number - 1)
    pc.fit(own, data, valid, seed=number - 1, steps=taken, progress=False)
    alone = time.perf_counter() - start
    pairs = zip(own.parameters(), found.models[-1].parameters(), strict=True)
    apart = max(float((a - b).detach().abs().max()) for a, b in pairs)
    return {"fit_many_s": round(together, 2), "fit_s": round(alone, 2), "apart": apart}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--models", type=int, default=32)
    parser.add_argument("--variables", type=int, nargs="*", default=[16, 100])
    parser.add_argument("--steps", type=int, default=2000)
    options = parser.parse_args(arguments)
    report = Report("many_models")
    for n in options.variables:
        rows = np.random.default_rng(0).integers(0, 2, (5000, n))
        data = torch.from_numpy(rows).float().cuda()
        found = steps(n, options.models, data)
        whole = trainings(n, options.models, data, options.steps)
        report.add(n=n, models=options.models, steps=options.steps, **found, **whole)


if __name__ == "__main__":
    main()
