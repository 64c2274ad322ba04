"""The training loop shared by gradient and EM: work, evaluate, keep the best parameters."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator

from pccompiler.errors import DataError, OptionError
from pccompiler.progress import progress_bar
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.checkpointing.keeper import Keeper
from pccompiler.torch_backend.training.course import Best, Course, Pace, TrainingData, Worker
from pccompiler.torch_backend.training.history import (
    Evaluation,
    History,
    impossible_row,
    mean_of_checked,
)
from pccompiler.torch_backend.training.soundness import unsound


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
    steps, patience, progress, on_evaluation = pace
    course = Course(model, history)
    best, look = course.best, _nothing
    if keeper is not None:
        keeper.start(model, worker, course)
        look = keeper.look
    if rows.valid is not None and (keeper is None or keeper.found is None):
        best.begin(mean_of_checked(model, rows.valid))
    with contextlib.ExitStack() as stack:
        if keeper is not None:
            stack.enter_context(keeper.interrupts.held())
        stack.enter_context(best.kept())
        advance = stack.enter_context(_progress(steps, progress))
        advance(course.step, None)
        while course.step < steps and (patience is None or course.stale < patience):
            taken, mean = worker.work(course.step, steps, look)
            found = record(course, worker.remedy, rows, taken, mean)
            if on_evaluation is not None:
                on_evaluation(found)
            advance(taken, found)
        if keeper is not None:
            keeper.try_to_write()
    return finished(course, steps)


def record(course: Course, remedy: str, rows: TrainingData, taken: int, mean: float) -> Evaluation:
    """Note the result of some steps, and the validation value after them.

    Raises:
        DataError: See `learn`.
    """
    model = course.best.model
    _check(model, remedy, rows, course.best, mean, course.step + taken)
    value = None if rows.valid is None else mean_of_checked(model, rows.valid)
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
    if row is not None:
        raise DataError.of(
            "PC404",
            f"training row {row} has no finite log-likelihood at step {best.last_step}",
            help="a zero weight forbids it: give the weights a floor, or remove the row",
        )
    raise DataError.of(
        "PC404",
        f"training diverged before step {step}: the mean log-likelihood is {mean}",
        notes=[
            *(f"parameter {name} {why}" for name, why in wrong.items()),
            f"the model has the parameters of step {best.step if best.state else best.last_step}",
        ],
        help=remedy,
    )


def _nothing() -> None:
    """Used if no checkpoints are wanted."""


@contextlib.contextmanager
def _progress(steps: int, show: bool) -> Generator[Callable[[int, Evaluation | None], None]]:
    """A progress bar with the latest values."""
    if not show:
        yield lambda chunk, record: None
        return
    with progress_bar("training", steps, left=True) as advance:

        def tell(chunk: int, record: Evaluation | None) -> None:
            if record is None:
                advance(chunk, "")
                return
            valid = "" if record.valid is None else f", valid {record.valid:.4f}"
            advance(chunk, f"train {record.train:.4f}{valid} nats")

        yield tell
