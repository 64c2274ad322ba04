"""The record of a training, and checks of its data and parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from pccompiler.drawing import to_svg
from pccompiler.drawing.curves import Curve, draw_curves
from pccompiler.errors import DataError, OptionError
from pccompiler.showing import Table, as_html, brief
from pccompiler.torch_backend.data.inputs import Rows
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.batches.sources import Data
from pccompiler.torch_backend.training.row_weights import row_weights

_LISTED = 8
"""The most evaluations in the table of a notebook."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation of the model: mean log-likelihoods in nats per row, or minus mean losses."""

    step: int
    train: float
    valid: float | None
    seconds: float


@dataclass(kw_only=True)
class History:
    """The record of a training by `fit` or `fit_em`.

    Attributes:
        evaluations: In order. ``train`` is the mean over the batches since the previous evaluation,
            each with the parameters at its time.
        best_step: The step whose parameters were kept; 0 for the initial ones.
        best_valid: Validation log-likelihood (or minus the validation loss) at that step, ``None``
            without validation data.
        seconds: Wall-clock time of the whole call, plus that of calls that it continues.
        stopped_early: Whether patience ran out, or a callback stopped it.
        stop_reason: The reason that a callback gave for stopping.
        initialised: Whether training first initialised leaves from the data, because they still
            had the random numbers drawn by `compile`.
        resumed_at: The step at which it continued from a checkpoint; 0 if it started anew.
        captured: Whether its steps were replays of one CUDA graph (all but those with batches of
            another size).
        not_captured: Why they were plain steps instead; ``None`` if they were captured.
    """

    evaluations: list[Evaluation] = field(default_factory=list[Evaluation])
    best_step: int = 0
    best_valid: float | None = None
    seconds: float = 0.0
    stopped_early: bool = False
    stop_reason: str | None = None
    initialised: bool = False
    resumed_at: int = 0
    captured: bool = False
    not_captured: str | None = None

    def __repr__(self) -> str:
        facts = {"evaluations": len(self.evaluations), "best_step": self.best_step}
        return brief(self, {**facts, "best_valid": self.best_valid, "seconds": self.seconds})

    def _repr_html_(self) -> str:
        """HTML for notebooks: the curves, and the latest evaluations."""
        valid = [(e.step, e.valid) for e in self.evaluations if e.valid is not None]
        curves: dict[str, Curve] = {"training": [(e.step, e.train) for e in self.evaluations]}
        if valid:
            curves["validation"] = valid
        scene = draw_curves(curves, "step", "mean log-likelihood (nats)")
        return as_html(repr(self), [_latest(self.evaluations)], to_svg(scene))


def _latest(evaluations: Sequence[Evaluation]) -> Table:
    rows = [
        (f"{e.step:,}", f"{e.train:.4f}", "" if e.valid is None else f"{e.valid:.4f}")
        for e in evaluations[-_LISTED:]
    ]
    more = len(evaluations) - len(rows)
    notes = [f"{more:,} earlier evaluations"] * (more > 0)
    return Table(("step", "training (nats)", "validation (nats)"), rows, notes)


def mean_log_likelihood(
    model: CompiledCircuit, x: Rows, *, weights: Tensor | ArrayLike | None = None
) -> float:
    """Mean log-likelihood of the rows of ``x``, in nats, batch by batch.

    With ``weights``, shape ``(rows,)``, the weighted mean; rows of weight 0 do not count, even
    if their density is 0.

    Raises:
        DataError: If the rows do not fit the circuit, there are none, or the weights are invalid,
            see `row_weights`.
    """
    return mean_of_checked(model, training_rows(model, x, "given"), weights)


@torch.no_grad()
def mean_of_checked(
    model: CompiledCircuit, x: Tensor, weights: Tensor | ArrayLike | None = None
) -> float:
    """`mean_log_likelihood` of checked rows."""
    shares = row_weights(weights, len(x))
    if shares is None:
        values = [
            model.evaluate_unchecked(rows).double().sum()
            for rows in x.split(model.evaluation_batch)
        ]
        return float(torch.stack(values).sum()) / len(x)
    parts = [model.evaluate_unchecked(rows).double() for rows in x.split(model.evaluation_batch)]
    known = shares.to(x.device)
    weighted = torch.where(known > 0.0, known * torch.cat(parts), 0.0)
    return float(weighted.sum() / known.sum())


def training_rows(model: CompiledCircuit, x: Rows, name: str) -> Tensor:
    """``x``, checked and converted for the model; refuses data without rows."""
    rows = model.checked(x).detach()
    if len(rows) == 0:
        raise DataError.of("PC403", f"the {name} data have no rows", help="give at least one row")
    return rows


def impossible_row(model: CompiledCircuit, data: Data, weights: Tensor | None = None) -> int | None:
    """The first row (of positive weight) whose log-likelihood is not finite."""
    first = 0
    with torch.no_grad():
        for rows in data.split(model.evaluation_batch):
            wrong = ~model.evaluate_unchecked(rows).isfinite()
            if weights is not None:
                wrong &= weights[first : first + len(rows)].to(wrong.device) > 0.0
            bad = wrong.nonzero()
            if len(bad):
                return first + int(bad[0])
            first += len(rows)
    return None


def trained_parameters(model: CompiledCircuit) -> dict[str, nn.Parameter]:
    """Parameters that training may change, by name: all but frozen ones (``requires_grad=False``).

    Raises:
        OptionError: If there are none.
    """
    found = {n: p for n, p in model.weights.values.items() if p.requires_grad}
    if not found:
        raise OptionError.of(
            "PC431",
            f"there is nothing to train: all {len(model.weights.values)} parameters are frozen",
            help="set requires_grad of some of them to True: model.weights.values[name]",
        )
    return found
