"""The numbers of the rows of each batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.training.course import Facts


class Order(Protocol):
    """Draws batches, and can return to where it was."""

    def take(self, steps: int) -> Sequence[Tensor]:
        """The rows of the next batches."""
        ...

    def state(self) -> Facts:
        """Where it is."""
        ...

    def restore(self, facts: Facts) -> None:
        """Go to a `state`."""
        ...


class Independent:
    """Each batch is drawn without replacement, independently of the others."""

    def __init__(self, rng: np.random.Generator, number: int, batch: int) -> None:
        self.rng, self.number, self.batch = rng, number, batch

    def take(self, steps: int) -> Sequence[Tensor]:
        """See `Order`."""
        return draw(self.rng, self.number, self.batch, steps).unbind()

    def state(self) -> Facts:
        """See `Order`."""
        return {"random": self.rng.bit_generator.state}

    def restore(self, facts: Facts) -> None:
        """See `Order`."""
        self.rng.bit_generator.state = facts["random"]


class Shuffled:
    """Epochs: each row is in one batch of every epoch; the last batch may be shorter."""

    def __init__(self, rng: np.random.Generator, number: int, batch: int) -> None:
        self.rng, self.number, self.batch = rng, number, batch
        self.before = rng.bit_generator.state  # before the current epoch was shuffled
        self.epoch: Sequence[Tensor] = ()
        self.taken = 0

    def take(self, steps: int) -> Sequence[Tensor]:
        """See `Order`."""
        return [self._next() for _ in range(steps)]

    def state(self) -> Facts:
        """See `Order`."""
        return {"random": self.before, "taken": self.taken}

    def restore(self, facts: Facts) -> None:
        """See `Order`."""
        self.rng.bit_generator.state = self.before = facts["random"]
        self.epoch, self.taken = (), 0
        self.take(facts["taken"])

    def _next(self) -> Tensor:
        if self.taken == len(self.epoch):
            self.before = self.rng.bit_generator.state
            order = torch.from_numpy(self.rng.permutation(self.number))
            self.epoch, self.taken = order.split(self.batch), 0
        self.taken += 1
        return self.epoch[self.taken - 1]


def draw(rng: np.random.Generator, number: int, batch: int, steps: int) -> Tensor:
    """Row numbers, shape (steps, batch), without repetition within a batch."""
    draws = [rng.choice(number, batch, replace=False, shuffle=False) for _ in range(steps)]
    return torch.from_numpy(np.stack(draws))
