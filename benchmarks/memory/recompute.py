"""A gradient in level order, and one with recomputed segments; k = 5, r = 50, 50 rows.

    python -m benchmarks.memory.recompute

Bytes are those of live tensors beyond parameters, their gradients and data.
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import torch
from torch import Tensor

import pccompiler as pc
from benchmarks.common import Report
from benchmarks.memory.live_bytes import LiveBytes
from pccompiler.passes import plan
from pccompiler.passes.lowering.segments import best_segments
from pccompiler.torch_backend.engines.base import Target
from pccompiler.torch_backend.engines.budgeted.schedule import Budget, Schedule
from pccompiler.torch_backend.engines.questions import Ascent, Task, Wanted
from pccompiler.torch_backend.engines.select import Engines

BATCH = 50
RUNNABLE = 1024


def gradient(model: pc.CompiledCircuit, x: Tensor) -> tuple[list[Tensor], float, float]:
    """In level order: gradients, MiB, seconds."""
    parameters = list(model.parameters())
    with LiveBytes() as count:  # first, before the engine has buffers to use again
        torch.autograd.grad(model.evaluate_unchecked(x).sum(), parameters)
    start = time.perf_counter()
    found = list(torch.autograd.grad(model.evaluate_unchecked(x).sum(), parameters))
    taken = time.perf_counter() - start
    size = sum(p.numel() * p.element_size() for p in parameters)
    return found, (count.peak - size) / 2**20, taken


def main() -> None:
    """Measure every size."""
    report = Report("recompute")
    for n in (64, 256, 1024, 4096):
        model = pc.compile(pc.rat_spn(n, 50, 5, seed=0), pc.Hypernetwork())
        x = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (BATCH, n))).float()
        wanted: list[Tensor] | None = None
        if n <= RUNNABLE:
            wanted, mib, seconds = gradient(model, x)
            report.add(n=n, how="level order", mib=round(mib, 2), seconds=round(seconds, 3))
        for splits in (2, 4, 6):
            schedule = Schedule(0, 0, 0, BATCH, 0, 1, BATCH, 0, splits)
            segmented = plan(model.circuit, splits=splits)
            budget = Budget(schedule, model.plan, segmented)
            target = Target(model.device, model.dtype, budget=budget)
            engines = Engines(model.plan, target, model.weights, kernels=True)
            run = partial(
                engines.choose(Wanted.GRADIENT).down,
                Ascent((x,), False),
                Task(torch.ones(BATCH), Wanted.GRADIENT),
            )
            run()
            start = time.perf_counter()
            found = [g for g in run().operands[1:] if g is not None]
            taken = time.perf_counter() - start
            with LiveBytes() as count:
                run()
            size = sum(p.numel() * p.element_size() for p in model.parameters())
            fields = {"mib": round((count.peak - size) / 2**20, 2), "seconds": round(taken, 3)}
            if wanted is not None:
                top = max(float(g.norm()) for g in wanted)
                pairs = zip(found, wanted, strict=True)
                fields["difference"] = max(float((a - b).norm()) / top for a, b in pairs)
            segments = len(best_segments(segmented).runs)
            report.add(n=n, how="segments", splits=splits, segments=segments, **fields)


if __name__ == "__main__":
    main()
