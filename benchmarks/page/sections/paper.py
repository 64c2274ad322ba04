"""The paper's test log-likelihoods and numbers of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.page.results import Line, Result, Results, unique
from benchmarks.page.section import Section
from benchmarks.page.words import listed

TABLES = "python -m benchmarks.paper.tables"
COUNTS = "python -m benchmarks.paper.parameters"
APART = 0.1
"""A difference from the paper that the page names, in nats."""
FIELDS = "data", "model", "test_mean", "paper", "runs"


def paper(results: Results) -> Section:
    """Log-likelihoods beside the paper's."""
    section = Section("The paper's log-likelihoods")
    several = [
        results.read(name, f"{TABLES} nltcs plants --seeds 3 --report {name}")
        for name in ("paper", "paper_fused")
    ]
    section.measured(
        "Test log-likelihood in nats by the paper's recipe, best on validation rows: the mean over "
        "the seeds, with the range of the seeds in parentheses. Where a set was trained twice, the "
        "later run counts.",
        *several,
    )
    seeds = _table(section, several)
    single = [
        results.read(name, f"{TABLES} --seeds 1 --report {name}")
        for name in ("paper_twenty", "paper_amazon")
    ]
    section.part("One seed of the other sets")
    section.measured("The same with fewer seeds.", *single)
    _table(section, single, without=seeds)
    section.part("Numbers of parameters")
    _counts(section, results.read("parameters", COUNTS), {*seeds, *_latest(single)})
    return section


def _latest(several: Sequence[Result]) -> dict[str, dict[str, Line]]:
    """The latest line of each model, by data set."""
    found: dict[str, dict[str, Line]] = {}
    for result in sorted(several, key=lambda one: one.date):
        for line in result.having(*FIELDS):
            found.setdefault(line["data"], {})[line["model"]] = line
    return found


def _table(
    section: Section, several: Sequence[Result], without: Mapping[str, object] | None = None
) -> dict[str, dict[str, Line]]:
    rows = {name: own for name, own in _latest(several).items() if name not in (without or {})}
    models = unique(model for own in rows.values() for model in own)
    section.table(
        ("data", "seeds", *(head for model in models for head in (model, "paper"))),
        [
            (name, str(len(next(iter(own.values()))["runs"])), *_cells(own, models))
            for name, own in rows.items()
        ],
    )
    lines = [line for own in rows.values() for line in own.values() if line["paper"] is not None]
    worse = [_named(line) for line in lines if line["test_mean"] < line["paper"] - APART]
    better = [_named(line) for line in lines if line["test_mean"] > line["paper"] + APART]
    section.say(
        f"Worse than the paper by more than {APART} nats: {listed(worse) or 'none'}. "
        f"Better by more than {APART} nats: {listed(better) or 'none'}."
    )
    return rows


def _named(line: Line) -> str:
    return f"{line['data']} ({line['model']})"


def _cells(own: Mapping[str, Line], models: Sequence[str]) -> list[str]:
    cells: list[str] = []
    for line in map(own.get, models):
        spread = f" ({line['test_spread']:.3f})" if line and len(line["runs"]) > 1 else ""
        cells.append(f"{line['test_mean']:.3f}{spread}" if line else "")
        cells.append(f"{line['paper']:.2f}" if line and line["paper"] is not None else "")
    return cells


def _counts(section: Section, result: Result, ran: set[str]) -> None:
    lines = result.having("data", "paper", "spn_allocated", "hyperspn_allocated")
    published = [
        (line["data"], theirs, line[ours])
        for line in lines
        for theirs, ours in zip(
            line["paper"] or (), ("spn_allocated", "hyperspn_allocated"), strict=False
        )
        if theirs is not None
    ]
    differ = unique(name for name, theirs, ours in published if theirs != ours)
    agree = sum(theirs == ours for _, theirs, ours in published)
    missing = [line["data"] for line in lines if line["data"] not in ran]
    section.measured(
        f"Counted as in the paper for its {len(lines)} data sets. Of the {len(published)} counts "
        f"that we have from the paper, {agree} agree; different: {listed(differ) or 'none'}. "
        f"Sets that were not trained here: {listed(missing) or 'none'}.",
        result,
        where="cpu",
    )
