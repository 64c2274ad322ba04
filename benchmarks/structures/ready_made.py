"""Structures large and deep: seconds to build, to compile and for a training step on the CPU.

    python -m benchmarks.structures.ready_made --data ../shared/data/images/mnist.npz

A hidden Markov model of 1,000 steps and 64 states; a hidden Chow-Liu tree over 784 pixels of 256
values with 64 states, its tree found in the first 10,000 rows; image structures with 16 units. Each
in a process of its own; import of torch is apart. A step is forward, backward and Adam on a batch
of 32 complete rows, the median of 5; "first" is the one before, with what it sets up.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.bench.timing import clock_ms, times_of
from pccompiler.ir import Circuit, categorical
from pccompiler.passes import plan, verify
from pccompiler.structures import (
    chow_liu_tree,
    hclt,
    hmm,
    poon_domingos,
    quad_graph,
    quad_tree,
)

BATCH = 32
STATES = 64


def pixels(path: str, rows: int) -> NDArray[np.uint8]:
    """The first rows of a file of images, shape (rows, 784)."""
    with np.load(path) as arrays:
        images: NDArray[np.uint8] = arrays[arrays.files[0]][:rows]
    return images.reshape(len(images), -1)


def build(name: str, path: str) -> tuple[Circuit, dict[str, float], NDArray[np.generic]]:
    """A structure, the seconds that it took, and rows to train on."""
    times: dict[str, float] = {}

    def timed(what: str, make: Callable[[], Circuit]) -> Circuit:
        start = time.perf_counter()
        made = make()
        times[f"{what}_s"] = round(time.perf_counter() - start, 3)
        return made

    if name.startswith("hmm"):
        rows = np.random.default_rng(0).integers(0, 2, (BATCH, 1000))
        homogeneous = name == "hmm"
        return timed("build", lambda: hmm(1000, STATES, homogeneous=homogeneous)), times, rows
    data = pixels(path, 10_000)
    if name == "hclt":
        variables = [categorical(f"x{i}", 256) for i in range(784)]
        start = time.perf_counter()
        tree = chow_liu_tree(data, variables, mi_bins=8)
        times["tree_s"] = round(time.perf_counter() - start, 3)
        return timed("build", lambda: hclt(tree, STATES)), times, data[:BATCH]
    images: dict[str, Callable[[], Circuit]] = {
        "quad_tree": lambda: quad_tree(28, 28, 16),
        "quad_graph": lambda: quad_graph(28, 28, 16),
        "poon_domingos": lambda: poon_domingos(28, 28, 16, delta=4),
    }
    return timed("build", images[name]), times, data[:BATCH]


def measure(name: str, path: str) -> dict[str, object]:
    """All figures of one structure."""
    circuit, times, rows = build(name, path)
    start = time.perf_counter()
    verify(circuit)
    checked = time.perf_counter()
    plan(circuit)
    planned = time.perf_counter()
    model = pc.compile(circuit)  # checks and plans by itself once more
    compiled = time.perf_counter()
    x = torch.tensor(rows, dtype=torch.float32)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    def step() -> None:
        optimizer.zero_grad()
        (-model.evaluate_unchecked(x, complete=True).mean()).backward()
        optimizer.step()

    return {
        "structure": name,
        "nodes": circuit.num_nodes,
        "weight_entries": circuit.statistics.weight_entries,
        **times,
        "check_s": round(checked - start, 3),
        "plan_s": round(planned - checked, 3),
        "compile_s": round(compiled - planned, 3),
        "batch": BATCH,
        "first_step_ms": round(clock_ms(step), 1),
        "step_ms": round(times_of(step, "cpu", 5).median, 1),
        "peak_gib_with_torch": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Each structure in a fresh process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="../shared/data/images/mnist.npz")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options.data)))
        return
    report = Report("structures")
    for name in ("hmm", "hmm_inhomogeneous", "hclt", "quad_tree", "quad_graph", "poon_domingos"):
        command = [sys.executable, "-m", "benchmarks.structures.ready_made", "--data", options.data]
        out = subprocess.run([*command, "--only", name], capture_output=True, text=True, check=True)
        report.add(**json.loads(out.stdout))


if __name__ == "__main__":
    main()
