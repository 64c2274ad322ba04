"""A training step on a GPU, beside other programs, and many models at once."""

from __future__ import annotations

from benchmarks.page.bars import Bar, Row
from benchmarks.page.bench import beside_peers
from benchmarks.page.contest import Contest
from benchmarks.page.results import Result, Results, unique
from benchmarks.page.section import OWN, Column, Section
from benchmarks.page.words import error, number

STEP = "python -m benchmarks.steps.gpu_step"
RATS = "python -m benchmarks.steps.rat_pyjuice"
RUN = "ours, whole step"
MANY = "python -m benchmarks.steps.many_models"
STEP_COLUMNS: dict[str, Column] = {
    "n": "n",
    "weights": "model",
    "step": "step_ms",
    "inside `pc.fit`": "fit_ms",
    "forward": "forward_ms",
    "layered step": "layered_step_ms",
    "layered / step": lambda line: line["layered_step_ms"] / line["step_ms"],
    "authors' code": "reference_ms",
    "error of gradients": lambda line: error(line.get("gradient_error")),
}
MANY_COLUMNS: dict[str, Column] = {
    "n": "n",
    "models": "models",
    "step of one, ms": "one_ms",
    "step of all, ms": "all_ms",
    "all / one": lambda line: line["all_ms"] / line["one_ms"],
    "steps of a training": "steps",
    "`fit`, s": "fit_s",
    "`fit_many`, s": "fit_many_s",
    "apart": "apart",
}


def training_step(results: Results) -> Section:
    """The paper's circuits on a GPU."""
    section = Section("A training step on a GPU")
    section.say(
        "The circuits are the paper's: 50 random binary trees over n binary variables, with sums "
        "of 5 units, in batches of 500 rows. [Engines](explanation/engines.md) says which kernels "
        "run."
    )
    for result in results.named("gpu_step", STEP):
        _whole_step(section, result)
    _pyjuice(section, results.read("rat_pyjuice", RATS))
    section.part("Many models in one graph")
    _many(section, results.read("many_models", MANY))
    beside_peers(section, results, "cuda")
    return section


def _whole_step(section: Section, result: Result) -> None:
    card = result.headers[-1]["gpu"]
    lines = result.having("n", "model", "step_ms", "layered_step_ms")
    section.part(f"One step on one {card}")
    section.measured(
        "Forward, backward and Adam in one CUDA graph, in ms; beside it the layered engine in the "
        "same run. HyperSPN means that a hypernetwork makes the weights. The authors' code is what "
        "the script quotes for this kind of circuit; it did not run at that time. Errors of "
        "gradients are relative to float64, over all parameters.",
        result,
    )
    section.fields(lines, STEP_COLUMNS)
    rows = [
        Row(
            f"{line['model']}, {line['n']} variables",
            [Bar(OWN, line["step_ms"]), Bar("layered", line["layered_step_ms"])],
        )
        for line in lines
    ]
    section.chart(result.name, f"time of one training step on one {card}", rows)


def _pyjuice(section: Section, result: Result) -> None:
    """``step`` is the size, then ``ours, whole step`` or PyJuice's settings."""
    found = {tuple(line["step"].split(" ", 1)): line["ms"] for line in result.having("step", "ms")}
    sizes = unique(size for size, _ in found)
    peers = [what for what in unique(what for _, what in found) if what.startswith("pyjuice")]
    section.part("Beside PyJuice")
    section.measured(
        "Our whole step, with hypernetwork and Adam, beside PyJuice's forward and backward pass "
        "alone on the same structure, in ms; batches of 512 rows for PyJuice. `one graph` is a "
        "CUDA graph that we captured around PyJuice's calls, otherwise it records its own. At "
        "k = 8, whose blocks suit its kernels better, its circuit has more units than ours.",
        result,
    )
    section.table(
        ("n", "our whole step", *(peer.replace("pyjuice", "PyJuice,") for peer in peers)),
        [
            (size.removeprefix("n="), *(number(found.get((size, run))) for run in (RUN, *peers)))
            for size in sizes
        ],
    )
    contests = [
        Contest(f"RAT-SPN, {size.replace('=', ' = ')}", found[size, RUN], "PyJuice", min(theirs))
        for size in sizes
        if (size, RUN) in found
        and (theirs := [found[size, p] for p in peers if " k=5 " in p and (size, p) in found])
    ]
    section.contest_chart("rat_pyjuice", "time of one step, PyJuice's fastest at k = 5", contests)
    section.beside(contests)


def _many(section: Section, result: Result) -> None:
    section.measured(
        "Independent models with hypernetworks, trained together by `fit_many`, in batches of 500 "
        "rows. `apart` is the largest difference of their parameters from those of separate "
        "trainings.",
        result,
    )
    section.fields(result.having("one_ms", "all_ms", "fit_s", "fit_many_s"), MANY_COLUMNS)
