"""The loop that training by gradient and by EM share: work, look, keep the best parameters."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from pccompiler.errors import DataError, OptionError
from pccompiler.progress import progress_bar
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.history import (
    Evaluation,
    History,
    impossible_row,
    mean_of_checked,
)
from pccompiler.torch_backend.training.mapped_rows import MappedRows
from pccompiler.torch_backend.training.soundness import unsound

if TYPE_CHECKING:
    from pccompiler.torch_backend.training.checkpointing.keeper import Keeper

Facts: TypeAlias = dict[str, Any]  # JSON values, hence Any


class Worker(Protocol):
    """What changes the parameters. Its state can be taken and put back between any two steps."""

    remedy: str
    """What to do when training goes astray."""

    def work(self, step: int, most: int, look: Callable[[], None]) -> tuple[int, float]:
        """Go on from ``step`` towards ``most``, and call ``look`` after each change.

        Returns:
            The number of steps taken, and the mean log-likelihood of the rows that they saw.
        """
        ...

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """All that the coming steps depend on, apart from the model's parameters."""
        ...

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """Put back what `state` gave."""
        ...


class TrainingData(NamedTuple):
    """What is learnt from, with the weights of rows, and what is held out."""

    train: Tensor | MappedRows
    weights: Tensor | None
    valid: Tensor | None


class Best:
    """The best parameters so far, and the last ones that were sound.

    Without validation data no parameters are best: the last ones stay.
    """

    def __init__(self, model: CompiledCircuit) -> None:
        self.model = model
        self.step = self.last_step = 0
        self.valid: float | None = None
        self.state: list[Tensor] | None = None
        self.last = self._copy()

    def begin(self, valid: float | None) -> None:
        """Take the present parameters as the first candidate, if their value says anything."""
        if valid is not None and math.isfinite(valid):
            self.valid, self.state = valid, self.last

    def offer(self, record: Evaluation) -> bool:
        """Keep the parameters if ``record`` is an improvement; say whether it is."""
        self.mark(record.step)
        if record.valid is None:
            self.step = record.step
            return True
        better = self.valid is None or record.valid > self.valid
        if better or record.valid == self.valid == -math.inf:  # of the hopeless, the last
            self.step, self.valid, self.state = record.step, record.valid, self.last
        return better

    def mark(self, step: int) -> None:
        """Take the present parameters, of ``step``, as the last that were sound."""
        self.last, self.last_step = self._copy(), step

    def retreat(self) -> None:
        """Put the last sound parameters back."""
        self._put(self.last)

    @contextlib.contextmanager
    def kept(self) -> Generator[None]:
        """Put the best parameters back at the end, also after an error or an interrupt."""
        try:
            yield
        finally:
            if self.state is not None:
                self._put(self.state)
            elif unsound(self.model, dict(self.model.weights.values.items())):
                self.retreat()

    def _copy(self) -> list[Tensor]:
        return [p.detach().clone() for p in self.model.weights.values.values()]

    @torch.no_grad()
    def _put(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.model.weights.values.values(), values, strict=True):
            parameter.copy_(value)


class Course:
    """How far a training has come."""

    def __init__(self, model: CompiledCircuit, history: History) -> None:
        self.history, self.best = history, Best(model)
        self.step = self.stale = 0
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the start, over all calls."""
        return time.perf_counter() - self.started


def learn(
    model: CompiledCircuit,
    worker: Worker,
    rows: TrainingData,
    history: History,
    keeper: Keeper | None,
    *,
    steps: int,
    patience: int | None,
    progress: bool,
    on_evaluation: Callable[[Evaluation], None] | None,
) -> History:
    """Work and look in turns until steps or patience run out; leave the best parameters.

    Args:
        model: Changed by ``worker``.
        worker: Takes the steps.
        rows: Data.
        history: Filled, and returned.
        keeper: Writes checkpoints, and may have one to go on from.
        steps: Most steps.
        patience: Most evaluations in a row without improvement.
        progress: Whether to show a progress bar on a terminal.
        on_evaluation: Called with each `Evaluation`.

    Raises:
        DataError: If a loss or a parameter is not finite. The model then has its best or its last
            sound parameters.
    """
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
            _check(model, worker, rows, best, mean, course.step + taken)
            value = None if rows.valid is None else mean_of_checked(model, rows.valid)
            course.step += taken
            record = Evaluation(step=course.step, train=mean, valid=value, seconds=course.seconds)
            history.evaluations.append(record)
            course.stale = 0 if best.offer(record) else course.stale + 1
            if on_evaluation is not None:
                on_evaluation(record)
            advance(taken, record)
        if keeper is not None:
            keeper.try_to_write()
    model.engine.pool.renew(batch=-1)  # give the memory back
    history.stopped_early = course.step < steps
    history.best_step, history.best_valid = best.step, best.valid
    history.seconds = course.seconds
    return history


def refuse_unsound(model: CompiledCircuit) -> None:
    """Refuse to train from parameters that no model can have.

    Raises:
        OptionError: Naming them.
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
    model: CompiledCircuit, worker: Worker, rows: TrainingData, best: Best, mean: float, step: int
) -> None:
    """Refuse a loss or parameters that are not finite; blame an impossible row if there is one.

    Rows are judged by the last sound parameters: after one bad step all rows look impossible.
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
        f"training went astray before step {step}: the mean log-likelihood is {mean}",
        notes=[
            *(f"parameter {name} {why}" for name, why in wrong.items()),
            f"the model has the parameters of step {best.step if best.state else best.last_step}",
        ],
        help=worker.remedy,
    )


def _nothing() -> None:
    """Where no checkpoints are wanted."""


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
