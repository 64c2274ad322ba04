"""The result of `pccompiler.explain`: data that prints as text and in notebooks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pccompiler.bench.units import Work
from pccompiler.showing import Table, as_html, as_text, brief
from pccompiler.torch_backend.engines.explain import Choice
from pccompiler.torch_backend.engines.optimize import Optimization

UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One layer of the plan.

    Attributes:
        number: Its position.
        kind: The kind of its nodes, or the family of leaves.
        nodes: Number of nodes.
        units: Units of each node.
        form: ``"linear"`` or ``"log"``, and whether it is normalized.
        reads: The layers below, in words; empty for leaves.
        flops: Multiplications and additions for the batch; exp and log count as one each.
        bytes: Bytes of its values for the batch.
    """

    number: int
    kind: str
    nodes: int
    units: int
    form: str
    reads: str
    flops: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Least:
    """The least work of one direction, whatever runs it, and the least time that it implies.

    Attributes:
        direction: ``"forward"``, ``"gradients"`` (both ways) or ``"step"`` (with Adam).
        work: The counts, see `pccompiler.bench.kinds`.
        floor_ms: Milliseconds on the target; ``None``: see `Explanation.floor_source`.
        limit: What sets the floor: ``"flops"``, ``"matrix"``, ``"special"``, ``"bytes"`` or
            ``"launch"``; empty without a floor.
    """

    direction: str
    work: Work
    floor_ms: float | None
    limit: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What runs, where, at what cost, and why. It prints as text and in notebooks.

    Attributes:
        device: The target's name.
        present: Whether torch can use the device here.
        precision: ``"float32"`` or ``"float64"``.
        batch: Rows at a time.
        variables: Columns of the data.
        parameters: Trainable numbers.
        packed: Whether the plan is packed.
        layers: The layers of the plan, in order of evaluation.
        choices: The engine for each question, and why no other.
        least: The least work of each direction.
        floor_source: The source of the rates behind the floors, or why there are none.
        evaluation_bytes: Predicted peak of an evaluation that streams layer by layer, beyond
            parameters and data; ``None`` for packed plans, which have no prediction.
        training_bytes: Predicted peak of a layered training step, likewise.
        schedule: How a memory budget is kept; empty without one.
        optimization: What ``compile(optimize=...)`` considered; ``None`` without it.
    """

    device: str
    present: bool
    precision: str
    batch: int
    variables: int
    parameters: int
    packed: bool
    layers: tuple[LayerFacts, ...]
    choices: tuple[Choice, ...]
    least: tuple[Least, ...]
    floor_source: str
    evaluation_bytes: int | None
    training_bytes: int | None
    schedule: str
    optimization: Optimization | None = None

    def to_dict(self) -> dict[str, Any]:
        """The explanation as JSON values (hence ``Any``)."""
        return asdict(self)

    def __str__(self) -> str:
        return as_text(_headline(self), _tables(self))

    def __repr__(self) -> str:
        facts = {"device": self.device, "precision": self.precision, "batch": self.batch}
        return brief(self, {**facts, "layers": len(self.layers), "parameters": self.parameters})

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return as_html(_headline(self), _tables(self))


def _headline(found: Explanation) -> str:
    where = "" if found.present else f" (there is no {found.device} device here)"
    return (
        f"{found.variables:,} variables, {found.parameters:,} parameters, "
        f"{len(found.layers)} layers{' (packed)' if found.packed else ''}; "
        f"{found.batch:,} rows in {found.precision} on {found.device}{where}"
    )


def _tables(found: Explanation) -> list[Table]:
    tables = [_layers(found), _questions(found), _others(found), _work(found), _memory(found)]
    return tables if found.optimization is None else [*tables, _rewritings(found.optimization)]


def _layers(found: Explanation) -> Table:
    rows = [
        (
            str(layer.number),
            layer.kind,
            f"{layer.nodes:,}",
            f"{layer.units:,}",
            layer.form,
            f"{layer.flops:,}",
            f"{layer.bytes:,}",
            layer.reads,
        )
        for layer in found.layers
    ]
    return Table(("layer", "kind", "nodes", "units", "form", "FLOPs", "bytes", "reads"), rows)


def _questions(found: Explanation) -> Table:
    """The engine of every question, which runs all layers."""
    rows = [
        (
            choice.question,
            choice.engine,
            choice.likelihoods,
            UNKNOWN if choice.launches is None else f"{choice.launches:,}",
            "ready" if choice.started else "matches the plan; not started",
        )
        for choice in found.choices
    ]
    return Table(
        ("question", "engine for all layers", "with soft evidence", "launches", "state"), rows
    )


def _others(found: Explanation) -> Table:
    """Why no other engine; questions with the same reason share a line."""
    questions: dict[tuple[str, str], list[str]] = {}
    for choice in found.choices:
        for other in choice.others:
            lacks = other.why == f"it does not compute {choice.question}"
            why = "it does not compute them" if lacks else other.why
            questions.setdefault((other.engine, why), []).append(choice.question)
    order = list(dict.fromkeys(engine for engine, _ in questions))
    rows = [
        (engine, why, ", ".join(asked))
        for (engine, why), asked in sorted(questions.items(), key=lambda e: order.index(e[0][0]))
    ]
    return Table(("not chosen", "because", "for"), rows)


def _work(found: Explanation) -> Table:
    rows = [
        (
            least.direction,
            f"{least.work.flops:,}",
            f"{least.work.matrix:,}",
            f"{least.work.special:,}",
            f"{least.work.bytes:,}",
            UNKNOWN if least.floor_ms is None else f"{least.floor_ms:.4g} ms ({least.limit})",
        )
        for least in found.least
    ]
    header = ("least work", "FLOPs", "matrix FLOPs", "special functions", "bytes", "floor")
    return Table(header, rows, (f"Floors: {found.floor_source}.",))


def _rewritings(found: Optimization) -> Table:
    rows = [
        (
            each.passes or "none",
            each.engine,
            f"{each.units:,}",
            f"{each.edges:,}",
            f"{each.cost:,.0f}",
            "chosen" + (f", {each.proof}" if each.proof else "") if each == found.chosen else "",
        )
        for each in found.considered
    ]
    header = ("rewriting", "engine", "units", "edges", "cost", "")
    return Table(header, rows, (f"Chosen because {found.reason}.",))


def _memory(found: Explanation) -> Table:
    rows = [
        (name, UNKNOWN if number is None else f"{number:,}")
        for name, number in (
            ("streamed layer by layer, without gradients", found.evaluation_bytes),
            ("layer by layer, a step of training", found.training_bytes),
        )
    ]
    notes = [line for line in found.schedule.splitlines() if line]
    return Table(("predicted peak memory", "bytes"), rows, notes)
