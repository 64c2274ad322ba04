"""The training loop shared by gradient and EM: work, evaluate, keep the best parameters."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch

from pccompiler.errors import DataError, OptionError
from pccompiler.options import whole
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.callbacks.bar import Bar
from pccompiler.torch_backend.training.callbacks.base import (
    Callback,
    Told,
    Training,
    checked_callbacks,
    watched,
)
from pccompiler.torch_backend.training.checkpointing.keeper import Keeper
from pccompiler.torch_backend.training.course import Best, Course, Look, TrainingData, Worker
from pccompiler.torch_backend.training.history import Evaluation, History, impossible_row
from pccompiler.torch_backend.training.soundness import unsound


class Pace(NamedTuple):
    """When a training stops, and who watches it.

    Attributes:
        steps: The most steps.
        patience: The most evaluations in a row without improvement.
        callbacks: Who watches.
        optimizer: The optimizer that the caller chose, for the callbacks.
    """

    steps: int
    patience: int | None
    callbacks: list[Callback]
    optimizer: torch.optim.Optimizer | None = None


def watchers(
    callbacks: Iterable[Callback] | Callback,
    progress: bool,
    on_evaluation: Callable[[Evaluation], None] | None,
) -> list[Callback]:
    """The caller's callbacks, checked, after the progress bar if it is shown."""
    found = [Bar()] if progress else []
    told = [] if on_evaluation is None else [Told(on_evaluation)]
    return [*found, *checked_callbacks(callbacks), *told]


def check_trainable(model: object) -> None:
    """Refuse what `fit` and `fit_em` cannot train.

    Raises:
        OptionError: If ``model`` is not a compiled circuit.
    """
    if not isinstance(model, CompiledCircuit):
        raise OptionError.of(
            "PC315",
            f"{type(model).__name__} is not a compiled circuit with parameters of its own",
            help="give what pccompiler.compile or pccompiler.load returned; a conditional circuit "
            "is trained together with its module in a loop of your own: "
            "docs/howto/training-loop.md",
        )


def patience_of(patience: object) -> int | None:
    """A number of evaluations, checked; ``None`` stays ``None``."""
    return None if patience is None else whole("patience", patience)


def learn(
    model: CompiledCircuit,
    worker: Worker,
    rows: TrainingData,
    history: History,
    keeper: Keeper | None,
    pace: Pace,
) -> History:
    """Work and evaluate in turns until steps or patience run out; keep the best parameters.

    Args:
        model: Changed by ``worker``.
        worker: Takes the steps.
        rows: The data.
        history: Filled, and returned.
        keeper: Writes checkpoints, and may have a state to continue from.
        pace: When to stop, and who watches.

    Raises:
        DataError: If a loss or a parameter is not finite. The model then has its best or its last
            sound parameters.
    """
    course = Course(model, history)
    best = course.best
    if keeper is not None:
        keeper.start(model, worker, course)
    if keeper is None or keeper.found is None:
        best.begin(rows.valid_mean(model))
    training = Training(course, worker, pace.steps, pace.optimizer)
    look = _look(training, pace.callbacks, keeper)
    with watched(pace.callbacks, training):
        with contextlib.ExitStack() as stack:
            if keeper is not None:
                stack.enter_context(keeper.interrupts.held())
            stack.enter_context(best.kept())
            while _goes_on(course, training, pace):
                taken, mean = worker.work(course.step, pace.steps, look)
                found = record(course, worker.remedy, rows, taken, mean)
                for one in pace.callbacks:
                    one.on_evaluation(training, found)
            if keeper is not None:
                keeper.try_to_write()
        history.not_captured = worker.not_captured
        history.captured = worker.not_captured is None
        history.stop_reason = training.stop_reason
        return finished(course, pace.steps)


def _look(training: Training, callbacks: list[Callback], keeper: Keeper | None) -> Look:
    """What happens after each update: the callbacks, then the keeper."""

    def look(finished_steps: int) -> bool:
        if finished_steps:
            training.step += finished_steps
            for one in callbacks:
                one.on_step(training)
        if keeper is not None:
            keeper.look()
        return training.stop_reason is not None

    return look


def _goes_on(course: Course, training: Training, pace: Pace) -> bool:
    patient = pace.patience is None or course.stale < pace.patience
    return course.step < pace.steps and patient and training.stop_reason is None


def record(course: Course, remedy: str, rows: TrainingData, taken: int, mean: float) -> Evaluation:
    """Note the result of some steps, and the validation value after them.

    Raises:
        DataError: See `learn`.
    """
    model = course.best.model
    _check(model, remedy, rows, course.best, mean, course.step + taken)
    value = rows.valid_mean(model)
    course.step += taken
    found = Evaluation(step=course.step, train=mean, valid=value, seconds=course.seconds)
    course.history.evaluations.append(found)
    course.stale = 0 if course.best.offer(found) else course.stale + 1
    return found


def finished(course: Course, steps: int) -> History:
    """The history of a training that has ended."""
    history, best = course.history, course.best
    best.model.engines.release()
    history.stopped_early = course.step < steps
    history.best_step, history.best_valid = best.step, best.valid
    history.seconds = course.seconds
    return history


def refuse_unsound(model: CompiledCircuit) -> None:
    """Refuse to train from invalid parameters.

    Raises:
        OptionError: With their names.
    """
    wrong = unsound(model, dict(model.weights.values.items()))
    if wrong:
        raise OptionError.of(
            "PC432",
            f"training cannot begin: {len(wrong)} parameters cannot be used",
            notes=[f"{name} {why}" for name, why in wrong.items()],
            help="load a sound model, or compile the circuit again",
        )


def _check(
    model: CompiledCircuit, remedy: str, rows: TrainingData, best: Best, mean: float, step: int
) -> None:
    """Refuse a loss or parameters that are not finite, and name an impossible row if there is one.

    Rows are judged by the last sound parameters: after a bad step all rows look impossible.
    """
    wrong = unsound(model, dict(model.weights.values.items()))
    if math.isfinite(mean) and not wrong:
        return
    best.retreat()
    row = impossible_row(model, rows.train, rows.weights)
    what = "the mean log-likelihood" if rows.loss is None else "minus the mean loss"
    if row is not None:
        raise DataError.of(
            "PC404",
            f"training row {row} has no finite log-likelihood at step {best.last_step}",
            help="a zero weight forbids it: give the weights a floor, or remove the row",
        )
    raise DataError.of(
        "PC404",
        f"training diverged before step {step}: {what} is {mean}",
        notes=[
            *(f"parameter {name} {why}" for name, why in wrong.items()),
            f"the model has the parameters of step {best.step if best.state else best.last_step}",
        ],
        help=remedy,
    )
