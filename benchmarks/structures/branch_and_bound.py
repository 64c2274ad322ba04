"""Branch and bound: nodes, milliseconds, and how often max-product decoding misses the maximum.

    python -m benchmarks.structures.branch_and_bound --shared ../shared

Evidence: each value of a test row (of a drawn row, for random trees) is hidden with probability
0.5; and none at all. ``missed``: rows whose max-product completion is worse than the proven maximum
by more than 1e-9 nats, among those proven. Random trees have their initial weights, near uniform:
the hard case. Float64 on the CPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.imports import read
from pccompiler.structures import random_tree
from pccompiler.torch_backend.engines.arena.program import program_of
from pccompiler.torch_backend.queries.map.branch_and_bound import branch_and_bound


def measure(
    report: Report, name: str, model: pc.CompiledCircuit, rows: torch.Tensor, k: int, seconds: float
) -> None:
    """Answer row by row, and report medians."""
    times: list[float] = []
    nodes: list[int] = []
    gaps: list[float] = []
    proven = missed = 0
    decoded = model.mpe(rows).log_value
    for row, plain in zip(rows, decoded.tolist(), strict=True):
        start = time.perf_counter()
        found = branch_and_bound(model, row.unsqueeze(0), k=k, seconds=seconds, limit=10**6)
        times.append(1e3 * (time.perf_counter() - start))
        nodes.append(int(found.expanded[0]))
        gaps.append(float(found.gap[0]))
        proven += bool(found.optimal[0])
        missed += bool(found.optimal[0]) and plain < float(found.log_value[0, 0]) - 1e-9
    report.add(
        circuit=name,
        variables=rows.shape[1],
        units=program_of(model.plan, model.device).rows,
        deterministic=model.deterministic,
        open_mean=round(float(rows.isnan().sum(1).double().mean()), 1),
        rows=len(rows),
        k=k,
        seconds_limit=seconds,
        nodes_median=statistics.median(nodes),
        nodes_max=max(nodes),
        ms_median=round(statistics.median(times), 1),
        ms_max=round(max(times), 1),
        proven=proven,
        missed=missed,
        gap_max=round(max(gaps), 3),
    )


def hidden(rows: torch.Tensor) -> torch.Tensor:
    """Each value hidden with probability 0.5."""
    coin = torch.rand(rows.shape, generator=torch.Generator().manual_seed(0))
    return rows.masked_fill(coin < 0.5, torch.nan)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    report = Report("branch_and_bound")
    for file, data in (("nltcs.spn.gz", "nltcs"), ("msnbc.psdd", "msnbc")):
        model = pc.compile(read(options.shared / "circuits" / file), dtype="float64")
        table = np.load(options.shared / f"data/twenty/{data}.npz")["test"][: options.rows]
        rows = torch.from_numpy(table.astype(np.float64))
        for k in (1, 5):
            measure(report, file, model, hidden(rows), k, options.seconds)
            measure(report, file, model, rows[:1] * torch.nan, k, options.seconds)
    for number in (30, 50):
        circuit = random_tree(number, units=3, replicas=2, seed=0)
        model = pc.compile(circuit, dtype="float64", seed=0)
        rows = model.sample(max(1, options.rows // 10), seed=0)
        measure(report, f"random_tree_{number}", model, hidden(rows), 1, options.seconds)
        measure(report, f"random_tree_{number}", model, rows[:1] * torch.nan, 1, options.seconds)


if __name__ == "__main__":
    main()
