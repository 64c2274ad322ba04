"""Calls of the library and queries, by the clock."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.page.contest import PLAIN, Contest
from benchmarks.page.results import Line, Result, Results, unique
from benchmarks.page.section import Section
from benchmarks.page.words import number, times

CALLS = "python -m benchmarks.steps.calls"
LAUNCHES = "python -m benchmarks.steps.launches"
QUERIES = "python -m benchmarks.steps.queries"
ROWS = "circuit, rows"


def queries(results: Results) -> Section:
    """Wall-clock times, Python included."""
    section = Section("Calls and queries")
    section.part("A call of `log_likelihood`")
    _calls(section, results.read("calls", CALLS))
    _beside_pyjuice(section, results.read("calls_pyjuice", f"{CALLS} --pyjuice"))
    section.part("A launch")
    _launch(section, results.read("launches", LAUNCHES))
    _queries(section, results.read("queries_cuda", f"{QUERIES} --device cuda"), "gpu")
    _queries(section, results.read("queries_cpu", QUERIES), "cpu")
    return section


def _calls(section: Section, result: Result) -> None:
    section.measured(
        "Wall-clock ms with the rows on the GPU, for RAT-SPNs with direct weights. `kernels` is "
        "the forward pass alone in a CUDA graph.",
        result,
    )
    columns = {
        "n": "n",
        "rows": "batch",
        "kernels": "kernels_ms",
        "call": "call_ms",
        "call without checks": "unchecked_ms",
        "call without a CUDA graph": "without_replay_ms",
    }
    section.fields(result.having("n", "batch", "call_ms"), columns)


def _beside_pyjuice(section: Section, result: Result) -> None:
    ours = {(x["n"], x["batch"]): x["call_ms"] for x in result.having("n", "batch", "call_ms")}
    contests = [
        Contest(f"a call, n = {n}, rows {rows}", ours[n, rows], "PyJuice", line["pyjuice_call_ms"])
        for line in result.having("n", "batch", "pyjuice_call_ms")
        if (n := line["n"], rows := line["batch"]) in ours
    ]
    section.measured("PyJuice's call in one run with ours.", result)
    section.contest_chart("calls", "time of a call that returns log-likelihoods", contests)
    section.beside(contests)


def _launch(section: Section, result: Result) -> None:
    lines = result.having("ours_us", "core_us", "torch_us")
    section.measured(
        "Microseconds of host time to launch a kernel that does nothing, with four arguments.",
        result,
    )
    columns = {
        "pccompiler": "ours_us",
        "cuda.core": "core_us",
        "cuda.core, arguments made anew": "core_anew_us",
        "an operation of torch": "torch_us",
    }
    section.fields(lines, columns)
    section.beside(
        [Contest("a launch", x["ours_us"] / 1e3, "cuda.core", x["core_us"] / 1e3) for x in lines]
    )


def _queries(section: Section, result: Result, where: str) -> None:
    lines = result.having("circuit", "batch", "query", "own_ms", "plain_ms")
    section.part(f"Queries on a {where.upper()}")
    section.measured(
        "A call of each query by the clock, with every second value missing, in ms; in parentheses "
        "plain PyTorch in the same process.",
        result,
        where=where,
    )
    names = unique(line["query"] for line in lines)
    cells = {(line["circuit"], line["batch"], line["query"]): line for line in lines}
    section.table(
        (ROWS, *names),
        [
            (f"{circuit}, {batch}", *(_cell(cells, circuit, batch, name) for name in names))
            for circuit, batch in unique((line["circuit"], line["batch"]) for line in lines)
        ],
    )
    section.say(_beyond_the_forward(lines))
    section.beside([_beside_plain(line, where) for line in lines])


def _beside_plain(line: Line, where: str) -> Contest:
    what = f"{line['query']} of {line['circuit']}, rows {line['batch']}, {where.upper()}"
    return Contest(what, line["own_ms"], PLAIN, line["plain_ms"])


def _cell(cells: Mapping[tuple[str, int, str], Line], circuit: str, batch: int, query: str) -> str:
    line = cells.get((circuit, batch, query))
    return f"{number(line['own_ms'])} ({number(line['plain_ms'])})" if line else ""


def _beyond_the_forward(lines: Sequence[Line]) -> str:
    """How many times the log-likelihood each other query takes."""
    ratios = {
        name: [
            line["times_the_forward"]
            for line in lines
            if line["query"] == name and "times_the_forward" in line
        ]
        for name in unique(line["query"] for line in lines)
        if name != "log_likelihood"
    }
    parts = [
        f"`{name}` {times(statistics.median(found))} (at most {number(max(found))})"
        for name, found in ratios.items()
        if found
    ]
    return f"A query takes, in times of `log_likelihood` of the same rows: {'; '.join(parts)}."
