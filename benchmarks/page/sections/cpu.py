"""CPUs, beside other programs and beside busy neighbours."""

from __future__ import annotations

from benchmarks.page.bench import beside_peers
from benchmarks.page.results import Result, Results
from benchmarks.page.section import Column, Section

EM = "python -m benchmarks.steps.em_cpu"
BUSY = "python -m benchmarks.steps.busy"


def cpus(results: Results) -> Section:
    """Times on a few cores."""
    section = Section("CPUs")
    beside_peers(section, results, "cpu")
    section.part("A pass of EM")
    _em(section, results.read("em_cpu", EM))
    section.part("Busy neighbours")
    _busy(section, results.read("busy", BUSY))
    return section


def _em(section: Section, result: Result) -> None:
    section.measured("One pass of EM over all rows, in ms.", result, where="cpu")
    columns: dict[str, Column] = {
        "circuit": "circuit",
        "rows": "rows",
        "batch": lambda line: line.get("batch") or "all",
        "ms": "pass_ms",
    }
    section.fields(result.having("circuit", "rows", "pass_ms"), columns)


def _busy(section: Section, result: Result) -> None:
    section.measured(
        "Times with none, one and two other processes that keep a core busy each, in ms. The last "
        "two columns divide the growth by that of a fair share of the cores: 1 is perfect.",
        result,
        where="cpu",
    )
    columns = {
        "case": "case",
        "quiet": "quiet_ms",
        "one busy": "one_busy_ms",
        "two busy": "two_busy_ms",
        "over the share, one": "over_share_one",
        "over the share, two": "over_share_two",
    }
    section.fields(result.having("case", "quiet_ms", "one_busy_ms", "two_busy_ms"), columns)
