"""Evaluation in blocks and in level order: live values, bytes, time, answers; k = 5, r = 50.

    python -m benchmarks.memory.streaming [LARGEST]

The paper's structure over n = 2^6 ... 2^14 variables with a hypernetwork, a batch of 500 rows.
Bytes are those of live tensors beyond parameters and data (`benchmarks.memory.live_bytes`), and the
planner's prediction. Level order is run where it is predicted to take less than 3 GiB.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

import pccompiler as pc
from benchmarks.common import RESULTS, Report
from benchmarks.memory.live_bytes import live_bytes
from pccompiler.passes import plan
from pccompiler.passes.lowering.peak_memory import peak
from pccompiler.torch_backend.engines.base import Target
from pccompiler.torch_backend.engines.budgeted.schedule import Budget, Schedule
from pccompiler.torch_backend.engines.questions import Batch, Wanted
from pccompiler.torch_backend.engines.select import Engines

BATCH = 500
RUNNABLE = 3 * 2**30


def seconds(run: Callable[[], object]) -> float:
    """Median of three, after one."""
    times: list[float] = []
    for _ in range(4):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def measure(
    model: pc.CompiledCircuit, x: torch.Tensor, splits: int
) -> tuple[dict[str, object], torch.Tensor | None]:
    """One schedule: its cost and its answers."""
    start = time.perf_counter()
    cut = model.plan if splits == 0 else plan(model.circuit, splits=splits)
    planned = time.perf_counter() - start
    found = peak(cut, len(x))
    fields: dict[str, object] = {
        "splits": splits,
        "blocks": len(cut.layers),
        "plan_s": round(planned, 2),
        "live_values_a_row": found.values // len(x),
        "predicted_mib": round(found.bytes / 2**20, 2),
    }
    if found.bytes > RUNNABLE:
        return fields, None
    schedule = Schedule(0, splits, len(cut.layers), len(x), found.values, found.bytes, 0, 0)
    target = Target(model.device, model.dtype, budget=Budget(schedule, cut, None))
    engine = Engines(model.plan, target, model.weights, kernels=True).choose(Wanted.VALUE)

    def run() -> torch.Tensor:
        return engine.up(Batch(x), (), Wanted.VALUE)[0]

    fields["measured_mib"] = round(live_bytes(run) / 2**20, 2)
    fields["seconds"] = round(seconds(run), 4)
    return fields, run()


def draw(lines: list[dict[str, object]]) -> None:
    """Live values by n, with the fitted line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    n = np.array([float(str(line["n"])) for line in lines])
    values = np.array([float(str(line["live_values_a_row"])) for line in lines])
    slope, start = np.polyfit(np.log2(n), values, 1)
    figure, axes = pyplot.subplots(figsize=(6.5, 4.0), layout="constrained")
    axes.plot(n, values, "o", label="finest blocks, counted")
    axes.plot(n, start + slope * np.log2(n), label=f"{start:.0f} + {slope:.0f} log2 n")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("variables n")
    axes.set_ylabel("live values for each row of data")
    axes.set_title("k = 5, 50 replicas: O(k log n)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(RESULTS / "streaming.svg")
    pyplot.close(figure)


def main() -> None:
    """Measure every size; the largest with the finest blocks only where the rest does not fit."""
    largest = int(sys.argv[1]) if len(sys.argv) > 1 else 2**14
    report = Report("streaming")
    finest: list[dict[str, object]] = []
    for n in (2**i for i in range(6, 15) if 2**i <= largest):
        model = pc.compile(pc.rat_spn(n, 50, 5, seed=0), pc.Hypernetwork())
        direct = sum(len(g.weights) * g.rows * g.columns for g in model.plan.groups)
        size = {"stored_hyperspn": model.num_parameters, "stored_direct": direct}
        x = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (BATCH, n))).float()
        level: torch.Tensor | None = None
        for splits in (0, 4, 64):
            fields, answers = measure(model, x, splits)
            if splits == 0:
                level = answers
                if answers is not None:  # the ordinary evaluation: all weights made beforehand
                    with torch.no_grad():
                        fields["ordinary_seconds"] = round(seconds(partial(model, x)), 4)
            elif level is not None and answers is not None:
                fields["largest_difference"] = float(((answers - level) / level).abs().max())
            report.add(n=n, **size, **fields)
        finest.append({"n": n, **fields})
    draw(finest)


if __name__ == "__main__":
    main()
