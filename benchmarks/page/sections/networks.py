"""Bayesian networks, scalar circuits and random circuits."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from functools import partial

from benchmarks.page.bars import Bar, Row
from benchmarks.page.contest import PLAIN, Contest
from benchmarks.page.results import Line, Result, Results, unique
from benchmarks.page.section import Column, Section
from benchmarks.page.words import error, listed, number, plural

PGMPY = "python -m benchmarks.structures.pgmpy_queries"
SCALAR = "python -m benchmarks.structures.scalar_speed"
COVERAGE = "python -m benchmarks.structures.coverage"
SPREAD = (
    "kind",
    "circuits",
    *(
        head
        for word in ("forward", "both ways")
        for head in (f"{word}: median", "slowest tenth", "slowest", "slower than plain")
    ),
)
TIMED = {"forward": "forward", "gradients": "both ways", "one_row": "one row"}


def networks(results: Results) -> Section:
    """Circuits with sums of one unit, and circuits of every kind."""
    section = Section("Bayesian networks, scalar and random circuits")
    section.part("Bayesian networks beside pgmpy")
    _pgmpy(section, results.read("pgmpy_queries", PGMPY))
    for where, device in (("gpu", "cuda"), ("cpu", "cpu")):
        made_by = f"{SCALAR} --device {device}"
        section.part(f"Scalar circuits on a {where.upper()}")
        _scalar(section, results.read(f"scalar_{device}", made_by), where)
    for where, device in (("gpu", "cuda"), ("cpu", "cpu")):
        made_by = f"{COVERAGE} --device {device}"
        section.part(f"Random circuits on a {where.upper()}")
        _coverage(section, results.read(f"coverage_{device}", made_by), where)
    return section


def _pgmpy(section: Section, result: Result) -> None:
    lines = result.having("network", "query", "own_ms", "pgmpy_ms")
    apart = max(line["apart"] for line in result.having("apart"))
    section.measured(
        "One row by the clock, in ms, with every fourth variable known; pgmpy eliminates "
        f"variables. Answers differ by at most {error(apart)}.",
        result,
        where="cpu",
    )
    columns = {
        "network": "network",
        "nodes": "nodes",
        "query": "query",
        "pccompiler": "own_ms",
        "pgmpy": "pgmpy_ms",
    }
    section.fields(lines, columns)
    contests = [
        Contest(f"{x['query']}, {x['network']}", x["own_ms"], "pgmpy", x["pgmpy_ms"])
        for x in lines
        if x["pgmpy_ms"] is not None
    ]
    section.contest_chart("pgmpy_queries", "time of a query of one row", contests)
    section.beside(contests)


def _scalar(section: Section, result: Result, where: str) -> None:
    lines = result.having("circuit", "stage", "batch", "own_forward_ms", "plain_forward_ms")
    section.measured(
        "Forward, and forward and backward, of the batch, and `log_likelihood` of one row; in ms, "
        "in parentheses plain PyTorch in the same run.",
        result,
        where=where,
    )
    columns: dict[str, Column] = {name: name for name in ("circuit", "stage", "nodes", "batch")}
    columns |= {word: partial(_own_and_plain, part=part) for part, word in TIMED.items()}
    section.fields(lines, columns)
    section.beside(
        [
            Contest(
                f"{line['circuit']}, {line['stage']}, {word}, {where.upper()}",
                line[f"own_{part}_ms"],
                PLAIN,
                line[f"plain_{part}_ms"],
            )
            for line in lines
            for part, word in TIMED.items()
            if line.get(f"own_{part}_ms") and line.get(f"plain_{part}_ms")
        ]
    )


def _own_and_plain(line: Line, part: str) -> str:
    own, plain = line.get(f"own_{part}_ms"), line.get(f"plain_{part}_ms")
    return f"{number(own)} ({number(plain)})" if own else ""


def _coverage(section: Section, result: Result, where: str) -> None:
    lines = result.having("kind", "engine", "forward_ratio", "gradients_ratio")
    section.measured(
        f"{plural(len(lines), 'random circuit')}: how many times as long plain PyTorch takes as "
        "the engine that the model chooses. Region graphs of mixed families (custom), trees, "
        "images, HMMs, learned and scalar circuits. A tenth of the circuits gains less than "
        "`slowest tenth` says.",
        result,
        where=where,
    )
    kinds = unique(line["kind"] for line in lines)
    groups = [(kind, [line for line in lines if line["kind"] == kind]) for kind in kinds]
    section.table(SPREAD, [_spread(kind, found) for kind, found in [*groups, ("all", lines)]])
    rows = [
        Row(kind, [Bar(what, _median(found, what)) for what in ("forward", "gradients")])
        for kind, found in groups
    ]
    title = f"how many times as long plain PyTorch takes (median, {where.upper()})"
    section.chart(f"coverage_{where}", title, rows, unit="times", better="longer")
    section.say(_engines_and_errors(lines))


def _engines_and_errors(lines: Sequence[Line]) -> str:
    engines = Counter(line["engine"] for line in lines)
    ran = [f"{engine} runs {plural(count, 'circuit')}" for engine, count in engines.items()]
    worst = [
        error(max((line[name] for line in lines if name in line), default=None))
        for name in ("log_likelihood_error", "gradient_error")
    ]
    return (
        f"{listed(ran)}. Relative to float64, log-likelihoods differ by at most {worst[0]}, "
        f"gradients by {worst[1]}."
    )


def _spread(kind: str, lines: Sequence[Line]) -> tuple[str, ...]:
    cells = [kind, f"{len(lines):,}"]
    for what in ("forward", "gradients"):
        ratios = sorted(line[f"{what}_ratio"] for line in lines)
        cells += [
            number(statistics.median(ratios)),
            number(ratios[len(ratios) // 10]),
            number(ratios[0]),
            str(sum(ratio < 1 for ratio in ratios)),
        ]
    return tuple(cells)


def _median(lines: Sequence[Line], what: str) -> float:
    return float(statistics.median(line[f"{what}_ratio"] for line in lines))
