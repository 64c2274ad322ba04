"""Runs of a case, their times, and their memory."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from pccompiler.torch_backend.runtime.capture import captured

Run = Callable[[], object]
MOST_SECONDS = 2.0
"""Default time limit for the repeats of a case, after the first `FEWEST`."""
FEWEST, MOST = 5, 200
WARM_UP = 3


@dataclass(frozen=True)
class Times:
    """Times of a run, in milliseconds."""

    median: float
    lowest: float
    repeats: int

    @classmethod
    def of(cls, times: list[float]) -> Times:
        """Summarize."""
        return cls(statistics.median(times), min(times), len(times))


def replayed(run: Run, device: torch.device) -> Run:
    """The run, after a warm-up; on CUDA as a CUDA graph, which keeps its tensors alive."""
    if device.type != "cuda":
        run()
        return run
    graph, kept = captured(run, warm_ups=WARM_UP)
    graph.replay()
    return replay(graph, (kept, run))


def replay(graph: torch.cuda.CUDAGraph, owner: object) -> Run:
    """The graph's replay; ``owner`` keeps its memory alive."""

    def run() -> object:
        graph.replay()
        return owner

    return run


def called(call: Run) -> Run:
    """A call without gradients, after a warm-up."""

    def run() -> object:
        with torch.no_grad():
            return call()

    run()
    return run


def awaited(run: Run) -> Run:
    """The run, and waiting for what it leaves to do on the GPU."""

    def both() -> object:
        found = run()
        torch.cuda.synchronize()
        return found

    return both


def times_of(run: Run, device: str, repeats: int | None) -> Times:
    """Time a run: by CUDA events, or by the clock.

    Args:
        run: The function to time.
        device: ``"cuda"`` or ``"cpu"``.
        repeats: Number of repeats; ``None``: for about two seconds.
    """
    once = cuda_ms if device == "cuda" else clock_ms
    for _ in range(WARM_UP - 1):
        once(run)
    start = time.perf_counter()
    found: list[float] = []
    while not _enough(len(found), time.perf_counter() - start, repeats):
        found.append(once(run))
    return Times.of(found)


def _enough(number: int, seconds: float, repeats: int | None) -> bool:
    if repeats is not None:
        return number >= repeats
    return number >= MOST or (number >= FEWEST and seconds > MOST_SECONDS)


def clock_ms(run: Run) -> float:
    """Milliseconds of a run by the clock."""
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def cuda_ms(run: Run) -> float:
    """Milliseconds of a run by CUDA events."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    torch.cuda.synchronize()
    milliseconds: float = start.elapsed_time(end)
    return milliseconds


def baseline(device: str) -> int:
    """Bytes that the process uses after freeing what it can; 0 on CUDA."""
    if device == "cuda" or not Path("/proc/self/status").exists():
        return 0
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc
        trim(0)
    return _status("VmRSS")


def forget_peak(device: str) -> bool:
    """Reset the peak; returns whether that is possible."""
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux, or not allowed
        return False
    return True


def peak_over(device: str, before: int) -> int:
    """Bytes at the peak: all of torch's on CUDA; on a CPU, those above ``before``."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return max(_status("VmHWM") - before, 0)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return 1024 * int(found[0]) if found else 0
