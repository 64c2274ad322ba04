"""A small run of ``benchmarks.correctness.kills``: nothing is lost, unreadable or different."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.cpu
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the benchmark forks")
def test_a_few_kills_lose_nothing(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "benchmarks.correctness.kills", "6"],
        cwd=ROOT,
        env={**os.environ, "PCCOMPILER_RESULTS": str(tmp_path)},
        check=True,
        capture_output=True,
    )
    counts = json.loads((tmp_path / "kills.jsonl").read_text().splitlines()[-1])
    assert sum(counts["kills"].values()) == 6
    wrong = ("lost_more_than_an_interval", "unreadable", "different_results", "wrong_exits")
    assert [counts[name] for name in wrong] == [0, 0, 0, 0]
