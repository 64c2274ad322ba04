"""Conditional circuits."""

from __future__ import annotations

import re

from benchmarks.page.contest import Contest
from benchmarks.page.results import Results
from benchmarks.page.section import Section
from benchmarks.page.words import error, number

STEP = "python -m benchmarks.conditional.conditional_step --pyjuice"
NAME = re.compile(r"(?P<circuit>.+) (?P<by>ours|pyjuice) (?P<what>\S+)$")


def conditional(results: Results) -> Section:
    """Weights that differ from row to row."""
    section, result = Section("Conditional circuits"), results.read("conditional_step", STEP)
    worst = max(line["log_likelihood"] for line in result.having("log_likelihood"))
    section.part("HMMs with transitions of their own for each row")
    section.measured(
        "Homogeneous HMMs of 32 steps and 1,000 words. The transitions of each row are shared ones "
        "plus a product of two factors from outside (PyJuice's low-rank external parameters), in "
        "CUDA graphs. The wheel of PyJuice 2.6.3 lacks the CUDA sources of its backward pass for "
        "them, so only forward passes are compared, its own in Triton. We form the transitions of "
        "each row, which takes more memory. Log-likelihoods differ from the forward algorithm in "
        "float64 by "
        f"at most {error(worst)}, relative.",
        result,
    )
    lines = result.having("step", "ms", "peak_gib")
    section.table(
        ("circuit", "by", "pass", "ms", "GiB"),
        [(*_named(line["step"]), number(line["ms"]), number(line["peak_gib"])) for line in lines],
    )
    times = {_named(line["step"]): line["ms"] for line in lines}
    contests = [
        Contest(f"conditional {circuit}", ms, "PyJuice", times[circuit, "pyjuice", "forward"])
        for (circuit, by, what), ms in times.items()
        if by == "ours" and what == "forward" and (circuit, "pyjuice", "forward") in times
    ]
    section.beside(contests)
    return section


def _named(step: str) -> tuple[str, str, str]:
    found = NAME.match(step)
    if found is None:
        raise ValueError(f"{step!r} is not a step of {STEP}")
    return found["circuit"], found["by"], found["what"]
