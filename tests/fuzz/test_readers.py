"""Readers and damaged content: a coded error, or a circuit that passes the check. Fixed seeds.

``python -m benchmarks.correctness.fuzz_readers`` goes on with other seeds; a failure here names
the number of the mutant: ``outcome(TARGETS[name], SEED, number, folder)`` makes it again.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.correctness.readers.targets import FUZZ_LIMITS, TARGETS, outcome
from pccompiler.limits import allow

SEED = 0
MUTANTS = 250
SLOW = {"command line": 40, "checkpoint": 150, "onnx": 150}
"""Fewer for slow readers; the sum is above 5,000."""


def test_there_are_five_thousand_mutants() -> None:
    assert sum(SLOW.get(name, MUTANTS) for name in TARGETS) >= 5000


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # densities with extreme scales
@pytest.mark.parametrize("name", TARGETS)
def test_only_coded_errors_come_out(name: str, tmp_path: Path) -> None:
    found: Counter[str] = Counter()
    wrong: list[str] = []
    longest = 0.0
    with allow(**FUZZ_LIMITS):
        for number in range(SLOW.get(name, MUTANTS)):
            start = time.process_time()
            kind, why = outcome(TARGETS[name], SEED, number, tmp_path)
            longest = max(longest, time.process_time() - start)
            found[kind] += 1
            wrong += [f"{number}: {why}"] if kind == "wrong" else []
    assert not wrong, "\n".join(wrong[:5])
    assert found["refused"]
    assert found["accepted"]  # otherwise the reader is never reached
    assert longest < 5.0  # seconds of processor time; the first mutant imports torch


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_not_damaged_is_read(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    for content in target.seeds():
        if content:  # otherwise the target makes its own objects
            target.read(content, tmp_path)
