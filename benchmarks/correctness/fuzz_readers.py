"""Damaged content through every reader.

    python -m benchmarks.correctness.fuzz_readers --mutants 100000

For each reader one line: how many mutants were tried, accepted, refused with a code, or wrong: a
raw exception (by type), an accepted circuit that fails the check or whose mass is not 1, more than
5 seconds of processor time, or more than 1 GiB of additional memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from benchmarks.common import Report
from benchmarks.correctness.readers.targets import FUZZ_LIMITS, TARGETS, outcome
from pccompiler.limits import allow

SECONDS = 5
MEMORY = 2**30
BATCH = 250
SHARES = {"command line": 0.1, "checkpoint": 0.5, "onnx": 0.5}
"""Shares of mutants for slow readers, relative to the others."""


class Hang(BaseException):
    """A mutant took too long. Not an `Exception`: no reader may catch it."""


@contextmanager
def bounded() -> Generator[None]:
    """Stop after more than `SECONDS` of processor time."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def batch(work: tuple[str, int, int]) -> tuple[str, Counter[str], list[str]]:
    """One batch of mutants of one reader: counts, and what went wrong."""
    name, seed, first = work
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    warnings.simplefilter("ignore", RuntimeWarning)  # densities with extreme scales
    with tempfile.TemporaryDirectory() as folder, allow(**FUZZ_LIMITS):
        outcome(TARGETS[name], seed, first, Path(folder))  # imports modules in advance
        for number in range(first, first + BATCH):
            before = _peak()
            try:
                with bounded():
                    kind, why = outcome(TARGETS[name], seed, number, Path(folder))
            except Hang:
                kind, why = "wrong", f"hang: over {SECONDS} s"
            if _peak() - before > MEMORY:
                kind, why = "wrong", "memory: over 1 GiB"
            counts[kind] += 1
            if kind == "wrong":
                counts["wrong: " + why.split(":")[0].split("\n")[0][:60]] += 1
                wrong.append(f"{name} {seed}/{number}: {why}")
    return name, counts, wrong


def _peak() -> int:
    """Peak bytes of the process."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def works(mutants: int, seed: int) -> list[tuple[str, int, int]]:
    """Batches for about as many mutants in all."""
    parts = sum(SHARES.get(name, 1.0) for name in TARGETS)
    return [
        (name, seed, first)
        for name in TARGETS
        for first in range(0, max(1, round(mutants * SHARES.get(name, 1.0) / parts)), BATCH)
    ]


def main() -> None:
    """Fuzz on all cores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=None)
    options = parser.parse_args()
    report = Report("fuzz_readers")
    start = time.perf_counter()
    found: dict[str, Counter[str]] = {name: Counter() for name in TARGETS}
    failures: list[str] = []
    todo = works(options.mutants, options.seed)
    left = Counter(name for name, _, _ in todo)
    with multiprocessing.get_context("spawn").Pool(options.processes, maxtasksperchild=40) as pool:
        for name, counts, wrong in pool.imap_unordered(batch, todo):
            found[name] += counts
            failures += wrong
            left[name] -= 1
            if not left[name]:
                _tell(report, name, found[name])
    _tell(report, "all", sum(found.values(), Counter()))
    report.add(failures=failures[:20], seconds=round(time.perf_counter() - start, 1))


def _tell(report: Report, name: str, counts: Counter[str]) -> None:
    kinds = ("accepted", "refused", "wrong")
    raw = {why.removeprefix("wrong: "): n for why, n in sorted(counts.items()) if ": " in why}
    report.add(
        reader=name,
        tried=sum(counts[kind] for kind in kinds),
        **{kind: counts[kind] for kind in kinds},
        wrong_by_kind=raw,
    )


if __name__ == "__main__":
    main()
