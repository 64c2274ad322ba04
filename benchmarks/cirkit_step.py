"""The same circuit in cirkit, timed in cirkit's own environment; `benchmarks.cpu_step` starts this.

    python -m venv cirkit-env && cirkit-env/bin/pip install torch==2.13.0 libcirkit==0.3.1
    cirkit-env/bin/python benchmarks/cirkit_step.py N REPEATS

The circuit and its step are those of `pccompiler.bench.peers`. Categorical inputs of k units over
each binary variable, then, region by region, an elementwise product and a dense k x k sum ("cp-t"),
50 random binary trees, softmax weights: layer for layer what `pccompiler.rat_spn` makes.
cirkit's defaults otherwise: log-sum-exp semiring, folded, optimized. Prints one JSON line.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D103

import json
import resource
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "pccompiler" / "bench" / "peers"))
import with_cirkit


def paper(n):
    return SimpleNamespace(structure="rat-spn", n=n, units=5, replicas=50, values=2)


def main():
    n, repeats = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(2)
    with_cirkit.compiled(paper(2))  # imports, before the clock starts
    torch.manual_seed(0)
    start = time.perf_counter()
    circuit = with_cirkit.compiled(paper(n))
    compiled = time.perf_counter() - start
    step = with_cirkit.runs(circuit, torch.randint(0, 2, (500, n)))["step"]
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        loss = step()
        times.append(1e3 * (time.perf_counter() - start))
    found = {
        "step_ms": statistics.median(times[2:]),
        "compile_s": compiled,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "parameters": sum(p.numel() for p in circuit.parameters()),
        "loss": float(loss),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
