"""How results of benchmarks are compared with those that were committed."""

from __future__ import annotations

import json

import pytest

from benchmarks.run import ROOT, committed, table, times


def result(date: str, chip: str, **line: object) -> str:
    return "\n".join(json.dumps(x) for x in ({"benchmark": "b", "date": date, "cpu": chip}, line))


def test_the_latest_time_of_the_same_machine_counts() -> None:
    texts = [
        result("2026-02-01", "A", case="x", ms=3.0, floor_ms=1.0, parameters=7),
        result("2026-01-01", "A", case="x", ms=9.0),
        result("2026-03-01", "B", case="x", ms=1.0),
    ]
    now = times([result("2026-04-01", "A", case="x", ms=6.0, compile_s=0.5)], "cpu")
    assert table(times(texts, "cpu"), now).splitlines() == [
        "      now    before  ratio",
        "        6         3   2.00  b x ms",
        "      0.5       new  b x compile_s",
    ]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the history of the project")
def test_committed_results_hold_times() -> None:
    found = times(committed(), "cpu")
    assert any(key[:1] == ("bench",) and key[2] == "step-16-spn" for key in found)
