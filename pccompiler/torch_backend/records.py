"""What training by gradient and by EM share: records, the best parameters, checks, progress."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.progress import progress_bar
from pccompiler.torch_backend.inputs import Rows
from pccompiler.torch_backend.module import CompiledCircuit
from pccompiler.torch_backend.rows import MappedRows
from pccompiler.torch_backend.rows_weights import row_weights


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One look at the model: mean log-likelihoods in nats a row."""

    step: int
    train: float
    valid: float | None
    seconds: float


@dataclass(kw_only=True)
class History:
    """What happened in training, by `fit` or `fit_em`.

    Attributes:
        evaluations: In order. ``train`` is the mean over the batches since the evaluation before,
            each with the parameters of its time.
        best_step: The step whose parameters were kept.
        best_valid: Validation log-likelihood at that step, ``None`` without validation data.
        seconds: Wall-clock time of the whole call.
        stopped_early: Whether patience ran out.
    """

    evaluations: list[Evaluation] = field(default_factory=list[Evaluation])
    best_step: int = 0
    best_valid: float | None = None
    seconds: float = 0.0
    stopped_early: bool = False


def mean_log_likelihood(
    model: CompiledCircuit, x: Rows, *, weights: Tensor | ArrayLike | None = None
) -> float:
    """Mean log-likelihood of the rows of ``x``, in nats, batch by batch.

    With ``weights``, shape ``(rows,)``, the weighted mean; rows of weight 0 do not count, even
    where their density is 0.

    Raises:
        DataError: If the rows do not fit the circuit, there are none, or the weights cannot be
            used, see `row_weights`.
    """
    return _mean(model, training_rows(model, x, "given"), weights)


@torch.no_grad()
def _mean(model: CompiledCircuit, x: Tensor, weights: Tensor | ArrayLike | None = None) -> float:
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


class Best:
    """The best parameters so far."""

    def __init__(self, model: CompiledCircuit) -> None:
        self.model = model
        self.step = 0
        self.valid: float | None = None
        self.state: list[Tensor] | None = None

    def offer(self, record: Evaluation) -> bool:
        """Keep the parameters if ``record`` is an improvement; say whether it is."""
        if record.valid is not None and self.valid is not None and not record.valid > self.valid:
            return False
        self.step, self.valid = record.step, record.valid
        if record.valid is not None:  # without validation the last parameters stay in place
            self.state = [p.detach().clone() for p in self.model.parameters()]
        return True

    @contextlib.contextmanager
    def kept(self) -> Generator[None]:
        """Put the best parameters back at the end, also after an error or an interrupt."""
        try:
            yield
        finally:
            if self.state is not None:
                with torch.no_grad():
                    for parameter, value in zip(self.model.parameters(), self.state, strict=True):
                        parameter.copy_(value)


def learn(
    model: CompiledCircuit,
    work: Callable[[int], tuple[int, float]],
    held_out: Tensor | None,
    *,
    steps: int,
    patience: int | None,
    progress: bool,
    on_evaluation: Callable[[Evaluation], None] | None,
) -> History:
    """Work and look in turns until steps or patience run out; leave the best parameters.

    Args:
        model: Changed by ``work``.
        work: Takes the steps so far; takes some more, and gives their number and the mean
            log-likelihood of the rows that it saw.
        held_out: Validation rows, as `training_rows` has them.
        steps: Most steps.
        patience: Most evaluations in a row without improvement.
        progress: Whether to show a progress bar on a terminal.
        on_evaluation: Called with each `Evaluation`.
    """
    history, best = History(), Best(model)
    started = time.perf_counter()
    step = stale = 0
    with best.kept(), _progress(steps, progress) as advance:
        while step < steps and (patience is None or stale < patience):
            taken, mean = work(step)
            step += taken
            value = None if held_out is None else _mean(model, held_out)
            record = Evaluation(
                step=step, train=mean, valid=value, seconds=time.perf_counter() - started
            )
            history.evaluations.append(record)
            stale = 0 if best.offer(record) else stale + 1
            if on_evaluation is not None:
                on_evaluation(record)
            advance(taken, record)
    model.engine.pool.renew(batch=-1)  # give the memory back
    history.stopped_early = step < steps
    history.best_step, history.best_valid = best.step, best.valid
    history.seconds = time.perf_counter() - started
    return history


def training_rows(model: CompiledCircuit, x: Rows, name: str) -> Tensor:
    """``x``, checked, as the module takes it; refuses data without rows."""
    rows = model.checked(x).detach()
    if len(rows) == 0:
        raise DataError.of("PC403", f"the {name} data have no rows", help="give at least one row")
    return rows


def check_loss(
    loss: float,
    model: CompiledCircuit,
    data: Tensor | MappedRows,
    step: int,
    weights: Tensor | None = None,
) -> None:
    """Refuse a loss that is not finite, naming the first row (of positive weight) to blame."""
    if np.isfinite(loss):
        return
    first = 0
    with torch.no_grad():
        for rows in data.split(model.evaluation_batch):
            wrong = ~model.evaluate_unchecked(rows).isfinite()
            if weights is not None:
                wrong &= weights[first : first + len(rows)].to(wrong.device) > 0.0
            bad = wrong.nonzero()
            if len(bad):
                row = first + int(bad[0])
                raise DataError.of(
                    "PC404",
                    f"training row {row} has no finite log-likelihood at step {step}",
                    help="a zero weight forbids it: give the weights a floor, or remove the row",
                )
            first += len(rows)
    raise DataError.of(
        "PC404", f"the loss is {loss} at step {step}", help="lower the learning rate"
    )


@contextlib.contextmanager
def _progress(steps: int, show: bool) -> Generator[Callable[[int, Evaluation], None]]:
    """A progress bar with the latest values."""
    if not show:
        yield lambda chunk, record: None
        return
    with progress_bar("training", steps, left=True) as advance:

        def tell(chunk: int, record: Evaluation) -> None:
            valid = "" if record.valid is None else f", valid {record.valid:.4f}"
            advance(chunk, f"train {record.train:.4f}{valid} nats")

        yield tell
