"""The slowdown of the CPU backend by 0, 1 and 2 other processes that keep a core busy each.

    python -m benchmarks.steps.busy

The neighbours are Python loops started here, which end by themselves. A process with a thread for
each core has a fair share of ``cores / (cores + busy)`` of the machine, so its time may grow by the
inverse. Growth beyond that is ``over_share``: 1 is perfect, the goal is 1.5.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import torch

import pccompiler as pc
from benchmarks.common import Report
from pccompiler import imports

ALARM = Path("../shared/circuits/alarm.bif.gz")
GOAL = 1.5
_NEIGHBOUR = "import sys, time\nend = time.monotonic() + {}\nwhile time.monotonic() < end: pass"
_Case = tuple[str, int, Callable[[], object]]


def fitting(n: int) -> Callable[[], object]:
    """50 training steps of the paper's circuit on ``n`` variables."""
    model = pc.compile(pc.rat_spn(n, 50, 5, seed=0), pc.Hypernetwork())
    x = torch.randint(0, 2, (2000, n), generator=torch.Generator().manual_seed(0)).float()
    return lambda: pc.fit(model, x, steps=50, batch_size=500, progress=False)


def expectation_step(n: int) -> Callable[[], object]:
    """One iteration of expectation maximisation on 500 rows."""
    model = pc.compile(pc.rat_spn(n, 10, 4, seed=0))
    x = torch.randint(0, 2, (500, n), generator=torch.Generator().manual_seed(0)).float()
    return lambda: pc.fit_em(model, x, iterations=1, progress=False)


def small() -> pc.CompiledCircuit:
    """The alarm network, 791 nodes, or a small circuit where the shared folder is missing."""
    circuit = imports.read(ALARM) if ALARM.exists() else pc.rat_spn(37, 2, 3, seed=0)
    return pc.compile(circuit)


def cases() -> list[_Case]:
    """Name, calls per sample, and the function to call."""
    model = small()
    row = torch.full((1, len(model.circuit.variables)), torch.nan)
    row[0, :3] = 0.0
    return [
        ("posterior_marginals", 10, lambda: model.posterior_marginals(row)),
        ("log_likelihood, one row", 50, lambda: model.log_likelihood(row)),
        ("EM step", 2, expectation_step(16)),
        ("fit, 50 steps, n = 16", 1, fitting(16)),
        ("fit, 50 steps, n = 100", 1, fitting(100)),
    ]


@contextlib.contextmanager
def neighbours(number: int, seconds: float) -> Generator[None]:
    """Keeps this many processes busy; each ends by itself after ``seconds``."""
    command = [sys.executable, "-c", _NEIGHBOUR.format(seconds)]
    running = [subprocess.Popen(command) for _ in range(number)]
    try:
        time.sleep(0.5 if number else 0.0)  # until they are up
        if any(process.poll() is not None for process in running):
            raise RuntimeError("a busy process did not start")
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def sample_ms(case: _Case, repeats: int) -> float:
    """Median time of a call, in milliseconds."""
    _, calls, run = case
    run()
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            run()
        times.append(1e3 * (time.perf_counter() - start) / calls)
    return statistics.median(times)


def measure(case: _Case, repeats: int, limit: float) -> dict[str, object]:
    """Times of a case by the number of neighbours, and how they grow beyond the fair share."""
    cores = len(os.sched_getaffinity(0))
    times: list[float] = []
    for busy in range(3):
        with neighbours(busy, limit):
            times.append(sample_ms(case, repeats))
    ratios = [t / times[0] * cores / (cores + busy) for busy, t in enumerate(times)]
    return {
        "case": case[0],
        "quiet_ms": round(times[0], 3),
        "one_busy_ms": round(times[1], 3),
        "two_busy_ms": round(times[2], 3),
        "over_share_one": round(ratios[1], 2),
        "over_share_two": round(ratios[2], 2),
        "meets_goal": max(ratios) <= GOAL,
    }


def main() -> None:
    """All cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds a neighbour runs")
    arguments = parser.parse_args()
    report = Report("busy")
    report.add(threads=torch.get_num_threads(), goal=GOAL)
    for case in cases():
        report.add(**measure(case, arguments.repeats, arguments.limit))


if __name__ == "__main__":
    main()
