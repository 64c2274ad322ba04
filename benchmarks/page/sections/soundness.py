"""Agreement of the backends, fuzzing and interrupted trainings."""

from __future__ import annotations

from collections import Counter
from functools import partial

from benchmarks.page.results import Line, Result, Results
from benchmarks.page.section import Column, Section
from benchmarks.page.words import error, listed, plural

AGREEMENT = "python -m benchmarks.correctness.agreement"
FLOWS = "python -m benchmarks.correctness.flow_invariant"
REWRITES = "python -m benchmarks.correctness.fuzz_rewrites"
READERS = "python -m benchmarks.correctness.fuzz_readers"
KILLS = "python -m benchmarks.correctness.kills"
AGREE = (
    "torch_float64_auto",
    "torch_float32_auto",
    "torch_float32_log",
    "onnx_compact",
    "onnx_materialized",
    "enumeration",
    "mass_minus_one",
)


def soundness(results: Results) -> Section:
    """What was tried to make answers wrong, and what came of it."""
    section = Section("Agreement and fuzzing")
    section.part("Agreement with the definition")
    _agreement(section, results.read("agreement", AGREEMENT))
    for where, device in (("gpu", "cuda"), ("cpu", "cpu")):
        _flows(section, results.read(f"flow_invariant_{device}", f"{FLOWS} {device}"), where)
    section.part("Rewrites")
    _rewrites(section, results.read("fuzz_rewrites", REWRITES))
    section.part("Readers")
    _readers(section, results.read("fuzz_readers", READERS))
    section.part("Interrupted trainings")
    _kills(section, results.read("kills", KILLS))
    return section


def _agreement(section: Section, result: Result) -> None:
    section.measured(
        "The largest relative difference from the float64 definition, with 30 % of the values "
        "missing; of the definition from enumeration; and of total mass from 1.",
        result,
        where="cpu",
    )
    columns: dict[str, Column] = {"n": "n", "model": "model"}
    columns |= {name.replace("_", " "): partial(_error, field=name) for name in AGREE}
    section.fields(result.having("n", "model", "torch_float64_auto"), columns)


def _error(line: Line, field: str) -> str:
    return error(line.get(field))


def _flows(section: Section, result: Result, where: str) -> None:
    lines = result.having("variant", "dtype", "variables", "rows", "gradients")
    section.measured(
        "Flows and gradients do not depend on the batch: the largest deviation of flows from what "
        "they must sum to, of a row's flows in other batches, and of a batch's gradient from the "
        "sum of its rows'.",
        result,
        where=where,
    )
    columns: dict[str, Column] = {
        "variant": "variant",
        "precision": "dtype",
        "sums of flows": lambda line: error(max(line["variables"], line.get("regions", 0.0))),
        "rows": lambda line: error(line["rows"]),
        "gradients": lambda line: error(line["gradients"]),
    }
    section.fields(lines, columns)


def _rewrites(section: Section, result: Result) -> None:
    lines = result.having("circuits", "outcomes", "faults_found", "failures")
    outcomes = sum((Counter(line["outcomes"]) for line in lines), Counter[str]())
    faults = sum((Counter(line["faults_found"]) for line in lines), Counter[str]())
    failures = sum(len(line["failures"]) for line in lines)
    tolerance = max(line["tolerance"] for line in lines)
    section.measured(
        f"{plural(_sum(lines, 'circuits'), 'random circuit')} through the rewrites: "
        f"mass, marginals and every world must be as declared to {error(tolerance)}, the output "
        "valid, and a second run must change nothing. "
        f"{plural(failures, 'failure')}. {plural(faults.total(), 'planted fault')} "
        "were each found with their culprit.",
        result,
        where="cpu",
    )
    passes = list(dict.fromkeys(name.rsplit(" ", 1)[0] for name in outcomes))
    words = ("changed", "same", "refused")
    section.table(
        ("rewrite", *words),
        [(name, *(f"{outcomes[f'{name} {word}']:,}" for word in words)) for name in passes],
    )


def _readers(section: Section, result: Result) -> None:
    lines = [x for x in result.having("reader", "tried", "wrong") if x["reader"] != "all"]
    section.measured(
        f"{plural(_sum(lines, 'tried'), 'damaged input')} for {len(lines)} readers, each of which "
        f"must answer or refuse with an error of its own. Wrong: {_sum(lines, 'wrong'):,}.",
        result,
        where="cpu",
    )
    names = ("reader", "tried", "accepted", "refused", "wrong")
    section.fields(lines, {name: name for name in names})


def _sum(lines: list[Line], field: str) -> int:
    return sum(int(line[field]) for line in lines)


def _kills(section: Section, result: Result) -> None:
    line = result.having("kills", "moments", "different_results")[-1]
    told = [f"{count} by {name}" for name, count in line["kills"].items()]
    moments = [f"{count} while {name}" for name, count in line["moments"].items()]
    bad = (
        "lost_more_than_an_interval",
        "unreadable",
        "different_results",
        "wrong_exits",
    )
    section.measured(
        f"Trainings that were killed and went on from their checkpoint: {listed(told)}; "
        f"{listed(moments)}.",
        result,
        where="cpu",
    )
    section.fields([line], {name.replace("_", " "): name for name in bad})
