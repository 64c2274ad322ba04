"""Timing for `benchmarks.steps.hclt_step`: CUDA graphs, alternating steps, and kernel times."""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable

import torch

from benchmarks.common import Report
from pccompiler.bench import timing

Step = Callable[[], object]


def guarded(name: str, part: Step) -> None:
    """Run a part; on failure print the error and continue."""
    start = time.perf_counter()
    try:
        part()
    except Exception:
        print(f"FAILED: {name}", flush=True)
        traceback.print_exc()
    torch.cuda.synchronize()
    print(f"# {name}: {time.perf_counter() - start:.1f} s", flush=True)


def captured(step: Step) -> tuple[Step, bool]:
    """The step as a CUDA graph, if it can be captured."""
    try:
        return timing.replayed(step, torch.device("cuda")), True
    except Exception as why:
        print(f"# no CUDA graph: {str(why)[:200]}", flush=True)
        torch.cuda.synchronize()
        return step, False


def times(step: Step, repeats: int) -> list[float]:
    """Milliseconds of each repeat, by CUDA events."""
    pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(repeats)]
    for start, end in pairs:
        start.record()
        step()
        end.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in pairs]


class Contest:
    """Steps that are timed in turns."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.steps: dict[str, tuple[Step, bool, float]] = {}

    def enter(self, name: str, make: Callable[[], Step], capture: bool = True) -> None:
        """Add the step that ``make`` makes, warmed up; its memory is of making and running it."""

        def prepare() -> None:
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            step = make()
            step()
            peak = (torch.cuda.max_memory_allocated() - before) / 2**30
            runner, graph = captured(step) if capture else (step, False)
            print(f"# {name}: {statistics.median(times(runner, 5)):.3f} ms", flush=True)
            self.steps[name] = (runner, graph, peak)

        guarded(name, prepare)

    def run(self, rounds: int = 3, repeats: int = 15) -> None:
        """Time all, in turns; one line each."""
        found: dict[str, list[float]] = {name: [] for name in self.steps}
        for _ in range(rounds):
            for name, (step, _, _) in self.steps.items():
                found[name] += times(step, repeats)
        for name, values in found.items():
            _, graph, peak = self.steps[name]
            self.report.add(
                part="time",
                step=name,
                ms=round(statistics.median(values), 3),
                lowest_ms=round(min(values), 3),
                cuda_graph=graph,
                peak_gib=round(peak, 2),
            )


def profile(step: Step, name: str, runs: int = 5) -> None:
    """Print the time of each kernel in one step."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as seen:
        for _ in range(runs):
            step()
        torch.cuda.synchronize()
    rows = sorted(seen.key_averages(), key=lambda e: -e.device_time_total)
    print(f"# kernels of {name}, microseconds and launches a step", flush=True)
    for row in rows[:18]:
        print(f"#   {row.device_time_total / runs:9.1f} {row.count / runs:6.1f} x {row.key[:100]}")
