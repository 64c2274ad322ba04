"""What a training is made of: what works, what it learns from, how far it has come."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.history import Evaluation, History
from pccompiler.torch_backend.training.mapped_rows import MappedRows
from pccompiler.torch_backend.training.soundness import unsound

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
