"""The base class of callbacks, and what they see of a training."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from importlib import import_module
from typing import Any

import torch

from pccompiler.errors import OptionError
from pccompiler.options import listed, shown
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.course import Course, Worker
from pccompiler.torch_backend.training.history import Evaluation, History


class Training:
    """A training as callbacks see it.

    Attributes:
        step: The number of steps taken so far; in `fit_em` a step is an iteration.
        steps: The most steps that it may take.
        optimizer: The optimizer given to `fit`; ``None`` if there is none.
        stop_reason: Why a callback has stopped it; ``None`` while it goes on.
    """

    def __init__(
        self,
        course: Course,
        worker: Worker,
        steps: int,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self._course, self._worker = course, worker
        self.step, self.steps, self.optimizer = course.step + worker.ahead, steps, optimizer
        self._start = course.step
        self.stop_reason: str | None = None

    @property
    def model(self) -> CompiledCircuit:
        """The model with its current parameters; at the end, with the best ones."""
        return self._course.best.model

    @property
    def history(self) -> History:
        """All evaluations so far; the rest is filled in at the end."""
        return self._course.history

    @property
    def best_valid(self) -> float | None:
        """The best validation value so far."""
        return self._course.best.valid

    @property
    def loss(self) -> float:
        """The mean loss per row since the last evaluation, in nats; waits for a GPU.

        NaN before the first step.
        """
        return -self._worker.mean() if self.step > self._start else math.nan

    def stop(self, reason: str = "a callback stopped it") -> None:
        """End the training after the current step. The best parameters stay, as always."""
        self.stop_reason = reason


class Callback:
    """Watches a training; override the methods that you need.

    They are called in the order of ``callbacks=``. What they raise ends the training.
    """

    def on_start(self, training: Training) -> None:
        """Before the first step."""

    def on_step(self, training: Training) -> None:
        """After each step."""

    def on_evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """After each evaluation, which is in ``training.history`` already."""

    def on_end(self, training: Training) -> None:
        """At the end, also after an error. The model has the parameters that are kept."""


class Told(Callback):
    """Calls a function with each evaluation."""

    def __init__(self, tell: Callable[[Evaluation], None]) -> None:
        self.tell = tell

    def on_evaluation(self, training: Training, evaluation: Evaluation) -> None:
        """See `Callback`."""
        self.tell(evaluation)


def checked_callbacks(given: Iterable[Callback] | Callback) -> list[Callback]:
    """Callbacks as a list.

    Raises:
        OptionError: If one is not a callback.
    """
    found = [given] if isinstance(given, Callback) else listed("callbacks", given)
    for one in found:
        if not isinstance(one, Callback):
            raise OptionError.of(
                "PC836",
                f"callback {shown(one)} is not a pccompiler.Callback",
                help="derive its class from pccompiler.Callback, and give an instance of it",
            )
    return [one for one in found if isinstance(one, Callback)]


@contextlib.contextmanager
def watched(callbacks: Sequence[Callback], training: Training) -> Generator[None]:
    """Call `Callback.on_start` of each, and at the end `Callback.on_end` of those that started."""
    with contextlib.ExitStack() as stack:
        for one in callbacks:
            one.on_start(training)
            stack.callback(one.on_end, training)
        yield


def metrics(training: Training, evaluation: Evaluation) -> dict[str, float]:
    """What the ready-made callbacks log of an evaluation, by name."""
    found = {"train": evaluation.train}
    if evaluation.valid is not None:
        found["valid"] = evaluation.valid
    if training.optimizer is not None:
        found["learning_rate"] = float(training.optimizer.param_groups[0]["lr"])
    return found


def needed(module: str, package: str) -> Any:  # modules without type information
    """A module of an optional package.

    Raises:
        OptionError: If the package is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise OptionError.of(
            "PC838",
            f"this callback needs {package}, which cannot be imported: {error}",
            help=f"pip install {package}",
        ) from error
