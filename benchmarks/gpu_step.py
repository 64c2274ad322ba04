"""One training step on a GPU: forward, backward and Adam in one CUDA graph; k = 5, r = 50.

    python -m benchmarks.gpu_step

Beside the times, the error against float64 on the same GPU: of log-likelihoods, and of the
gradients of all parameters together (2-norm of the difference over the 2-norm).
"""

from __future__ import annotations

import statistics

import numpy as np
import torch

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.api import Dtype
from pccompiler.torch_backend.train import _Stepper

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


def step_ms(model: pc.CompiledCircuit, data: torch.Tensor, repeats: int = 50) -> float:
    """Median time of one step, by CUDA events around graph replays."""
    stepper = _Stepper(model, data, None, 500, 5e-3, 0.0, cuda_graph=True)
    stepper.rows.copy_(torch.randperm(len(data), device="cuda")[:500])
    if stepper.graph is None:
        raise RuntimeError("no CUDA graph was captured")
    times: list[float] = []
    for repeat in range(repeats + 5):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        stepper.graph.replay()
        end.record()
        torch.cuda.synchronize()
        if repeat >= 5:
            times.append(start.elapsed_time(end))
    return statistics.median(times)


def errors(n: int, hypernetwork: bool, data: torch.Tensor) -> dict[str, float]:
    """Largest differences of float32 from float64, relative."""
    rows = data[:500].clone()
    rows[torch.rand(rows.shape, device="cuda") < 0.1] = torch.nan
    single, double = compiled(n, hypernetwork, "float32"), compiled(n, hypernetwork, "float64")
    a, b = single(rows), double(rows.double())
    ga, gb = (
        torch.autograd.grad(-y.sum(), list(m.parameters())) for y, m in ((a, single), (b, double))
    )
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
            model = compiled(n, hypernetwork, "float32")
            data = model.prepare(x)
            accuracy = errors(n, hypernetwork, data) if n <= 500 else {}
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            milliseconds = step_ms(model, data)
            report.add(
                n=n,
                model="HyperSPN" if hypernetwork else "SPN",
                step_ms=round(milliseconds, 3),
                reference_ms=REFERENCE[n],
                peak_gib=round(torch.cuda.max_memory_allocated() / 2**30, 2),
                **accuracy,
            )
            del model, data
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
