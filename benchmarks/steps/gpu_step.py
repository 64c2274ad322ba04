"""One training step on a GPU: forward, backward and Adam in one CUDA graph; k = 5, r = 50.

    python -m benchmarks.steps.gpu_step

Fused kernels and the layered engine in the same run. "first" is the time from the circuit to
the end of the first step; "fit" is the wall-clock time of a step inside `pccompiler.fit`, batches
drawn and gathered. Errors are against float64 in level order on the same GPU: of log-likelihoods,
and of the gradients of all parameters together (2-norm of the difference over the 2-norm).
"""

from __future__ import annotations

import statistics
import time
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.api import Dtype
from pccompiler.bench.kinds.registry import run_of
from pccompiler.bench.timing import times_of
from pccompiler.torch_backend.training.optimizers.adam import make_adam
from pccompiler.torch_backend.training.stepper import Stepper

ADAM = partial(make_adam, rate=5e-3, decay=0.0)
REFERENCE = {
    16: "10-12",
    100: "17-19",
    500: "33-35",
    1556: "74",
}  # ms, the authors' code (DESIGN.md)


def compiled(n: int, hypernetwork: bool, dtype: Dtype) -> pc.CompiledCircuit:
    """The paper's model on the GPU."""
    net = pc.Hypernetwork() if hypernetwork else None
    return pc.compile(pc.rat_spn(n, 50, 5, seed=0), net, device="cuda", dtype=dtype)


def run_ms(model: pc.CompiledCircuit, data: torch.Tensor, direction: str) -> float:
    """Median time of a CUDA graph's replays, by CUDA events."""
    return times_of(run_of(model, data, 500, direction), "cuda", 50).median


def fit_ms(model: pc.CompiledCircuit, data: torch.Tensor, steps: int = 400) -> float:
    """Wall-clock time of a step of `fit`, the start-up taken off."""

    def run(number: int) -> float:
        start = time.perf_counter()
        pc.fit(model, data, steps=number, progress=False, evaluate_every=number)
        torch.cuda.synchronize()
        return time.perf_counter() - start

    run(5)
    few = statistics.median(run(5) for _ in range(3))
    return 1e3 * (run(steps + 5) - few) / steps


def errors(
    single: pc.CompiledCircuit, double: pc.CompiledCircuit, rows: torch.Tensor
) -> dict[str, float]:
    """Differences of float32 from float64, relative: the largest, and of gradients the 2-norm's."""
    a, b = single(rows), double(rows.double())
    ga, gb = (
        torch.autograd.grad(-y.sum(), list(m.parameters())) for y, m in ((a, single), (b, double))
    )
    a, b = a.detach(), b.detach()
    flat_a = torch.cat([g.double().flatten() for g in ga])
    flat_b = torch.cat([g.flatten() for g in gb])
    return {
        "log_likelihood_error": float(((a.double() - b) / b).abs().max()),
        "gradient_error": float((flat_a - flat_b).norm() / flat_b.norm()),
    }


def main() -> None:
    """Measure all sizes, with and without the hypernetwork."""
    report = Report("gpu_step")
    for n in (16, 100, 500, 1556):
        x = np.random.default_rng(0).integers(0, 2, (2000, n))
        for hypernetwork in (True, False):
            report.add(
                n=n, model="HyperSPN" if hypernetwork else "SPN", **measure(n, x, hypernetwork)
            )
            torch.cuda.empty_cache()


def measure(n: int, x: NDArray[np.int64], hypernetwork: bool) -> dict[str, float | str]:
    """One size."""
    start = time.perf_counter()
    model = compiled(n, hypernetwork, "float32")
    data = model.prepare(x)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    Stepper(model, data, None, 500, ADAM, cuda_graph=False).step()
    torch.cuda.synchronize()
    first = time.perf_counter() - start
    milliseconds = run_ms(model, data, "step")
    peak = torch.cuda.max_memory_allocated() / 2**30
    forward, wall = run_ms(model, data, "forward"), fit_ms(model, data)
    layered, fused = (compiled(n, hypernetwork, "float32") for _ in range(2))
    layered.without_kernels()
    rows = data[:500].clone()
    rows[torch.rand(rows.shape, device="cuda") < 0.1] = torch.nan
    return {
        "step_ms": round(milliseconds, 4),
        "forward_ms": round(forward, 4),
        "fit_ms": round(wall, 4),
        "first_s": round(first, 2),
        "layered_step_ms": round(run_ms(layered, data, "step"), 3),
        "reference_ms": REFERENCE[n],
        "peak_gib": round(peak, 3),
        **errors(fused, compiled(n, hypernetwork, "float64"), rows),
    }


if __name__ == "__main__":
    main()
