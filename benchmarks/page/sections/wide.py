"""Wide circuits, EM, hidden Markov models and structured sums."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.page.bars import Bar, Row
from benchmarks.page.contest import Contest
from benchmarks.page.results import Line, Result, Results, unique
from benchmarks.page.section import OWN, Column, Section
from benchmarks.page.words import error, listed, number

HCLT = "python -m benchmarks.steps.hclt_step --pyjuice"
WIDE = "python -m benchmarks.steps.wide_step"
EM = "python -m benchmarks.steps.em_step --pyjuice"
LONG = "python -m benchmarks.steps.em_step --states --variables --hmm 512x33279 --length 1000"
EXACT = "python -m benchmarks.correctness.long_hmm --device cuda"
STRUCTURED = "python -m benchmarks.steps.em_step --hmm 4096x33279 --blocks 64 --rank 64"
CONVERGES = "python -m benchmarks.steps.em_converges"
STEP = re.compile(r"(?P<circuit>.+?) (?:ours \S+ (?P<precision>\S+)|pyjuice) (?P<what>\S+)$")
PRECISIONS = {"fp32": "float32", "tf32": "TF32", "bf16": "bfloat16"}


def _precision(line: Line) -> str:
    name = str(line["precision"])
    return PRECISIONS.get(name, name)


LAYERS: dict[str, Column] = {
    "circuit": "circuit",
    "precision": _precision,
    "dense": "fused_ms",
    "layered": "layered_ms",
    "layered / dense": lambda line: line["layered_ms"] / line["fused_ms"],
    "error of gradients": lambda line: error(line.get("gradient_error")),
}


def wide(results: Results) -> Section:
    """Circuits whose sums are wide."""
    section = Section("Wide circuits, EM, HMMs and structured sums")
    _hclt(section, results.read("hclt_step", HCLT))
    section.part("Dense kernels and layers")
    _layers(section, results.read("wide_step", WIDE))
    section.part("A step of EM")
    section.measured(
        "A step of mini-batch EM with its M-step, and forward and backward for gradients, in ms; "
        "PyJuice on the same circuit in the same run. HCLT: hidden Chow-Liu trees over 784 "
        "variables of 256 values, with that many states. HMM: homogeneous, 32 steps, states x "
        "words. "
        "PyJuice's precision is about that of TF32.",
        em := results.read("em_step", EM),
    )
    _em(section, em, "em_step")
    section.part("HMMs of 1,000 steps")
    section.measured("The same steps.", long := results.read("em_step_1000", LONG))
    _em(section, long, "em_step_1000")
    _exact(section, results.read("long_hmm", EXACT))
    section.part("Structured sums")
    section.measured(
        "The same steps for HMMs with dense transitions, with transitions of low rank, and with "
        "Monarch transitions (blocks).",
        structured := results.read("em_structured", STRUCTURED),
    )
    _em(section, structured, "em_structured")
    section.part("EM beside Adam")
    _converges(section, results.read("em_converges", CONVERGES))
    return section


def _exact(section: Section, result: Result) -> None:
    section.measured(
        "The largest errors beside the forward algorithm in float64, for rows that end at "
        "different lengths: of log-likelihoods, relative; of gradients, relative to the largest "
        "entry.",
        result,
    )
    columns: dict[str, Column] = {
        "precision": lambda line: {"highest": "float32", "high": "TF32"}[str(line["precision"])],
        "engine": "engine",
        "log-likelihoods": lambda line: error(line["log_likelihood"]),
        "gradients": lambda line: error(max(line["gradients"].values())),
    }
    section.fields(result.having("precision", "log_likelihood", "gradients"), columns)


def _hclt(section: Section, result: Result) -> None:
    times_of = {line["step"]: line["ms"] for line in result.having("step", "ms")}
    size = result.having("variables", "states", "batch")[0]
    section.part("A hidden Chow-Liu tree")
    section.measured(
        f"{size['variables']} variables of 256 values, {size['states']} states, "
        f"{size['batch']} rows: forward and backward, in ms, side by side in one process. "
        "`softmax` starts from logits; `ieee` is float32. PyJuice runs the same circuit, and its "
        "own structure, which has fewer sums.",
        result,
    )
    section.table(("run", "ms"), [(what, number(ms)) for what, ms in times_of.items()])
    errors = [
        line for line in result.having("engine", "log_likelihood") if line.get("batch") is not None
    ]
    section.say("Errors relative to float64, on a smaller circuit:")
    columns: dict[str, Column] = {
        "engine": "engine",
        "batch": "batch",
        "log-likelihoods": lambda line: error(line["log_likelihood"]),
        "gradients": lambda line: error(line["gradient"]),
    }
    section.fields(errors, columns)
    contests = _hclt_contests(times_of)
    section.contest_chart("hclt_step", "forward and backward of an HCLT", contests)
    section.beside(contests)


def _hclt_contests(times_of: Mapping[str, float]) -> list[Contest]:
    """Gradients in each precision beside PyJuice's fastest run of the same circuit."""
    same = [
        ms
        for what, ms in times_of.items()
        if what.startswith("pyjuice") and "same circuit" in what and "forward" not in what
    ]
    own = {what: ms for what, ms in times_of.items() if re.fullmatch(r"dense \S+ gradients", what)}
    return [Contest(f"HCLT, {what}", ms, "PyJuice", min(same)) for what, ms in own.items() if same]


def _layers(section: Section, result: Result) -> None:
    lines = result.having("circuit", "precision", "fused_ms", "layered_ms")
    section.measured(
        "Forward and backward in the dense kernels and layer by layer, in ms; batches of 500 rows.",
        result,
    )
    section.fields(lines, LAYERS)
    slower = [
        f"{line['circuit']} in {_precision(line)}"
        for line in lines
        if line["fused_ms"] >= line["layered_ms"]
    ]
    section.say(f"Slower in the dense kernels than layer by layer: {listed(slower) or 'none'}.")


class _Step(NamedTuple):
    """A timed step of EM or of gradients; PyJuice's has no precision."""

    circuit: str
    precision: str | None
    what: str
    ms: float
    gib: float


def _em(section: Section, result: Result, name: str) -> None:
    steps = [
        _Step(found["circuit"], found["precision"], found["what"], line["ms"], line["peak_gib"])
        for line in result.having("step", "ms", "peak_gib")
        if (found := STEP.match(line["step"]))
    ]
    columns = unique((step.what, step.precision) for step in steps)
    circuits = unique(step.circuit for step in steps)
    section.table(
        ("circuit", *(_head(*column) for column in columns), "peak GiB", "PyJuice's"),
        [_row(circuit, columns, steps) for circuit in circuits],
    )
    section.chart(name, "time of a step of EM", [_bars(one, steps) for one in circuits])
    contests = [
        Contest(f"{s.circuit}, {s.what}, {PRECISIONS[s.precision]}", s.ms, "PyJuice", peer.ms)
        for s in steps
        if s.precision
        for peer in steps
        if peer.precision is None and (peer.circuit, peer.what) == (s.circuit, s.what)
    ]
    if contests:
        section.beside(contests)
        section.say(_memory(circuits, steps))


def _bars(circuit: str, steps: Sequence[_Step]) -> Row:
    """Ours in each precision, and PyJuice's."""
    found = [step for step in steps if (step.circuit, step.what) == (circuit, "EM")]
    bars = [Bar(f"{OWN}, {PRECISIONS[s.precision]}", s.ms) for s in found if s.precision]
    return Row(circuit, [*bars, *(Bar("PyJuice", s.ms) for s in found if s.precision is None)])


def _memory(circuits: Sequence[str], steps: Sequence[_Step]) -> str:
    """For which circuits PyJuice takes less memory."""
    peaks = {circuit: _peaks(circuit, steps) for circuit in circuits}
    less = [c for c, (ours, theirs) in peaks.items() if ours and theirs and theirs < ours]
    return f"PyJuice takes less memory for: {listed(less) or 'none'}."


def _peaks(circuit: str, steps: Sequence[_Step]) -> tuple[float | None, float | None]:
    """Our peak and PyJuice's, GiB."""
    mine = [step for step in steps if step.circuit == circuit]
    ours = max((step.gib for step in mine if step.precision), default=None)
    return ours, max((step.gib for step in mine if step.precision is None), default=None)


def _head(what: str, precision: str | None) -> str:
    return f"{what}, {PRECISIONS[precision] if precision else 'PyJuice'}"


def _row(
    circuit: str, columns: Sequence[tuple[str, str | None]], steps: Sequence[_Step]
) -> tuple[str, ...]:
    mine = [step for step in steps if step.circuit == circuit]
    found = {(step.what, step.precision): step.ms for step in mine}
    return (
        circuit,
        *(number(found.get(column)) for column in columns),
        *map(number, _peaks(circuit, steps)),
    )


def _converges(section: Section, result: Result) -> None:
    lines = result.having("set", "method", "valid", "evaluations")
    sets, methods = unique(x["set"] for x in lines), unique(x["method"] for x in lines)
    best = {
        (name, method): max(
            line["valid"] for line in lines if (line["set"], line["method"]) == (name, method)
        )
        for name, method in unique((x["set"], x["method"]) for x in lines)
    }
    section.measured(
        "The best validation log-likelihood (nats) that each method reaches in the same wall-clock "
        "time on the same HCLT, with the best of its settings: `adam`, and EM with `running` means "
        "or `anemone`.",
        result,
    )
    section.table(
        ("method", "evaluations, median", *sets),
        [
            (
                method,
                number(statistics.median(x["evaluations"] for x in lines if x["method"] == method)),
                *(f"{best[s, method]:.2f}" if (s, method) in best else "" for s in sets),
            )
            for method in methods
        ],
    )
    wins = [max((m for m in methods if (s, m) in best), key=lambda m: best[s, m]) for s in sets]
    section.say(
        "Ahead: "
        + "; ".join(f"{method} on {wins.count(method)} of {len(sets)} sets" for method in methods)
        + "."
    )
