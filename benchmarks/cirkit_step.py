"""The same circuit in cirkit, timed in cirkit's own environment; `benchmarks.cpu_step` starts this.

    python -m venv cirkit-env && cirkit-env/bin/pip install torch==2.13.0 libcirkit==0.3.1
    cirkit-env/bin/python benchmarks/cirkit_step.py N REPEATS

Categorical inputs of k units over each binary variable, then, region by region, an elementwise
product and a dense k x k sum ("cp-t"), 50 random binary trees, softmax weights: layer for layer the
circuit that `pccompiler.rat_spn` makes. cirkit's defaults otherwise: log-sum-exp semiring, folded,
optimized. Prints one JSON line.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# ruff: noqa: D103

import json
import resource
import statistics
import sys
import time

import torch
from cirkit.pipeline import PipelineContext
from cirkit.templates import utils
from cirkit.templates.region_graph import RandomBinaryTree


def main():
    n, repeats = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(2)
    torch.manual_seed(0)
    start = time.perf_counter()
    graph = RandomBinaryTree(n, num_repetitions=50, seed=0)
    softmax = utils.Parameterization(activation="softmax", initialization="normal")
    symbolic = graph.build_circuit(
        input_factory=utils.name_to_input_layer_factory("categorical", num_categories=2),
        sum_product="cp-t",
        sum_weight_factory=utils.parameterization_to_factory(softmax),
        num_input_units=5,
        num_sum_units=5,
    )
    circuit = PipelineContext(
        backend="torch", semiring="lse-sum", fold=True, optimize=True
    ).compile(symbolic)
    compiled = time.perf_counter() - start
    optimizer = torch.optim.Adam(circuit.parameters(), lr=5e-3)
    x = torch.randint(0, 2, (500, n))
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = -circuit(x).sum()
        loss.backward()
        optimizer.step()
        times.append(1e3 * (time.perf_counter() - start))
    print(
        json.dumps(
            {
                "step_ms": statistics.median(times[2:]),
                "compile_s": compiled,
                "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
                "parameters": sum(p.numel() for p in circuit.parameters()),
                "loss": float(loss),
            }
        )
    )


if __name__ == "__main__":
    main()
