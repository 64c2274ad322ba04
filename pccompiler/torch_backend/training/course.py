"""The parts of a training: its worker, its data, and its progress."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.batches.sources import Data
from pccompiler.torch_backend.training.history import Evaluation, History, mean_of_checked
from pccompiler.torch_backend.training.losses import Loss, mean_gain
from pccompiler.torch_backend.training.soundness import unsound

Facts: TypeAlias = dict[str, Any]  # JSON values, hence Any
Look: TypeAlias = Callable[[int], bool]
"""Takes the steps that an update has finished, and tells whether to stop."""


class Worker(Protocol):
    """Updates the parameters. Its state can be saved and restored between any two steps."""

    remedy: str
    """What to do when training diverges."""

    @property
    def not_captured(self) -> str | None:
        """Why its steps are not replays of a CUDA graph; ``None`` if they are."""
        ...

    @property
    def ahead(self) -> int:
        """The finished steps since the last evaluation."""
        ...

    def work(self, step: int, most: int, look: Look) -> tuple[int, float]:
        """Continue from ``step`` towards ``most``, and call ``look`` after each update.

        Returns:
            The number of steps taken, and the mean log-likelihood of the rows used, or minus the
            mean loss.
        """
        ...

    def mean(self) -> float:
        """The mean over the rows used since the work began; waits for the device."""
        ...

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """Everything that later steps depend on, except the model's parameters."""
        ...

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """Restore a `state`."""
        ...


class TrainingData(NamedTuple):
    """Training rows with their weights, held-out rows, and what is minimized.

    ``loss`` is ``None`` for minus the log-likelihood.
    """

    train: Data
    weights: Tensor | None
    valid: Tensor | None
    loss: Loss | None = None

    def valid_mean(self, model: CompiledCircuit) -> float | None:
        """The mean log-likelihood of the held-out rows, or minus their mean loss."""
        if self.valid is None:
            return None
        if self.loss is None:
            return mean_of_checked(model, self.valid)
        return mean_gain(model, self.loss, self.valid)


class Best:
    """The best parameters so far, and the last ones that were sound.

    Without validation data no parameters are best, and the last ones are kept.
    """

    def __init__(self, model: CompiledCircuit) -> None:
        self.model = model
        self.step = self.last_step = 0
        self.valid: float | None = None
        self.state: list[Tensor] | None = None
        self.last = self._copy()

    def begin(self, valid: float | None) -> None:
        """Take the current parameters as the first candidate, if their value is finite."""
        if valid is not None and math.isfinite(valid):
            self.valid, self.state = valid, self.last

    def offer(self, record: Evaluation) -> bool:
        """Keep the parameters if ``record`` is an improvement, and return whether it is."""
        self.mark(record.step)
        if record.valid is None:
            self.step = record.step
            return True
        first = self.valid is None and not math.isnan(record.valid)
        better = first or (self.valid is not None and record.valid > self.valid)
        if better or record.valid == self.valid == -math.inf:  # if all are impossible, the last
            self.step, self.valid, self.state = record.step, record.valid, self.last
        return better

    def mark(self, step: int) -> None:
        """Remember the current parameters, of ``step``, as the last sound ones."""
        self.last, self.last_step = self._copy(), step

    def retreat(self) -> None:
        """Restore the last sound parameters."""
        self._put(self.last)

    @contextlib.contextmanager
    def kept(self) -> Generator[None]:
        """Restore the best parameters at the end, also after an error or an interrupt."""
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
    """The progress of a training."""

    def __init__(self, model: CompiledCircuit, history: History) -> None:
        self.history, self.best = history, Best(model)
        self.step = self.stale = 0
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the start, over all calls."""
        return time.perf_counter() - self.started
