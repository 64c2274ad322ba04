"""Classifiers and imputers on tables with missing values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.page.results import Line, Results, unique
from benchmarks.page.section import Section
from benchmarks.page.words import listed

MADE = "python -m benchmarks.estimators.missing_values"
Case = tuple[str, str, float]
"""A data set, the rows that lack values, and the part that they lack."""


def missing(results: Results) -> Section:
    """How often the class is found, and how well gaps are filled."""
    section, result = Section("Tables with missing values"), results.read("missing_values", MADE)
    lines = result.having("measure", "data", "missing", "rate", "method", "mean", "standard_error")
    seeds = [f"{len(line['values'])} for {line['data']}" for line in lines]
    section.measured(
        "Data sets that ship with scikit-learn, with values deleted at random. 60 % of the rows "
        "are for training; validation rows, a fifth, choose the settings of each method; the "
        "others are for the results. Rivals that need examples of gaps may have a second copy of "
        "complete training rows with values deleted. Means over seeds "
        f"({listed(unique(seeds))}) with their standard errors.",
        result,
        where="cpu",
    )
    section.part("Classifiers")
    section.say("The part of the test rows whose class is found.")
    _compare(section, [line for line in lines if line["measure"] == "accuracy"], max)
    section.part("Imputers")
    section.say(
        "The root mean square error of deleted values, in standard deviations of their columns."
    )
    _compare(section, [line for line in lines if line["measure"] == "error"], min)
    return section


def _compare(
    section: Section, lines: Sequence[Line], better: Callable[[float, float], float]
) -> None:
    """A table with a row for each case and a column for each method; ours comes first."""
    methods, cases = unique(line["method"] for line in lines), unique(map(_case, lines))
    found = {(_case(line), line["method"]): line for line in lines}
    rows = [
        (*_words(case), *(_cell(found.get((case, method))) for method in methods)) for case in cases
    ]
    section.table(("data", "missing from", "part", *map(_label, methods)), rows)
    section.say(_verdict(found, cases, methods, better))


def _verdict(
    found: dict[tuple[Case, str], Line],
    cases: Sequence[Case],
    methods: Sequence[str],
    better: Callable[[float, float], float],
) -> str:
    """Against how many rivals ours has the better mean, and where some rival has."""
    ours, *rivals = methods

    def lost(case: Case, rival: str) -> bool:
        pair = [found[case, name]["mean"] for name in (ours, rival) if (case, name) in found]
        return len(pair) == 2 and pair[0] != pair[1] and better(*pair) == pair[1]

    won = [sum(not lost(case, rival) for case in cases) for rival in rivals]
    behind = [case for case in cases if any(lost(case, rival) for rival in rivals)]
    told = "; ".join(", ".join(_words(case)) for case in behind) or "none"
    pairs = listed(
        [f"{_label(rival)} in {number}" for rival, number in zip(rivals, won, strict=True)]
    )
    return (
        f"Of {len(cases)} cases, {ours} is as good as or better than {pairs}. "
        f"**Some rival better**: {told}."
    )


def _case(line: Line) -> Case:
    return line["data"], line["missing"], line["rate"]


def _label(method: str) -> str:
    """A pipeline's parts are separated by commas in the results."""
    return method.replace(", ", " + ")


def _words(case: Case) -> tuple[str, str, str]:
    data, where, rate = case
    return data, where, f"{rate:.0%}"


def _cell(line: Line | None) -> str:
    return "" if line is None else f"{line['mean']:.3f} ± {line['standard_error']:.3f}"
