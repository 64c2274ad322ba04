"""Training by gradient, batch by batch. See `pccompiler.torch_backend.training.course.Worker`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.torch_backend.training.batches.order import Order
from pccompiler.torch_backend.training.batches.sources import Loaded
from pccompiler.torch_backend.training.course import Facts, Look
from pccompiler.torch_backend.training.stepper import Stepper

REMEDY = "lower the learning rate"
"""What to do when training diverges."""


class Drawn:
    """Steps in chunks of ``every``, on batches of rows that are drawn here.

    Args:
        stepper: Takes the steps.
        order: Draws the batches.
        numbers: The rows to draw from, if not all.
        every: Steps of a chunk.
    """

    remedy = REMEDY

    def __init__(
        self, stepper: Stepper, order: Order, numbers: NDArray[np.int64] | None, every: int
    ) -> None:
        self.stepper, self.order, self.every = stepper, order, every
        self.numbers = None if numbers is None else torch.from_numpy(numbers)
        self.before = order.state()  # before the draws of the current chunk
        self.done = 0  # steps of the current chunk

    @property
    def not_captured(self) -> str | None:
        """See `Worker`."""
        return self.stepper.not_captured

    @property
    def ahead(self) -> int:
        """See `Worker`."""
        return self.done

    def work(self, step: int, most: int, look: Look) -> tuple[int, float]:
        """Take a chunk of steps, or the rest of one, or fewer if ``look`` wants to stop."""
        chunk = max(self.done, min(self.every, most - step))
        batches = self._draw(chunk)

        def count(done: int) -> bool:
            self.done = done
            return look(1)

        taken = self.stepper.run(batches, self.done, count)
        if taken < chunk:  # take back the draws that were not used
            self.order.restore(self.before)
            self.order.take(taken)
        self.before, self.done = self.order.state(), 0
        return taken, self.stepper.mean()

    def mean(self) -> float:
        """See `Worker`."""
        return self.stepper.mean()

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """The optimizer's state, the random state and the position in the chunk."""
        tensors, facts = self.stepper.state()
        return tensors, {**facts, **self.before, "done": self.done}

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """See `Worker`."""
        self.stepper.restore(tensors, facts)
        self.order.restore(facts)
        self.before = self.order.state()
        self.done = int(facts["done"])
        if self.done:
            self.stepper.resume(self._draw(self.done))
            self.order.restore(self.before)

    def _draw(self, steps: int) -> Sequence[Tensor]:
        """The numbers of the rows of the next batches."""
        batches = self.order.take(steps)
        return batches if self.numbers is None else [self.numbers[rows] for rows in batches]


class FromLoader:
    """Steps on the batches of a loader. It has no checkpoints: a loader's place is its own.

    Args:
        stepper: Takes the steps.
        loaded: The batches.
        every: Steps between two evaluations.
    """

    remedy = REMEDY

    def __init__(self, stepper: Stepper, loaded: Loaded, every: int) -> None:
        self.stepper, self.loaded, self.every = stepper, loaded, every

    @property
    def not_captured(self) -> str | None:
        """See `Worker`."""
        return self.stepper.not_captured

    @property
    def ahead(self) -> int:
        """See `Worker`; it is never resumed."""
        return 0

    def work(self, step: int, most: int, look: Look) -> tuple[int, float]:
        """Take steps until the next evaluation, or fewer if ``look`` wants to stop."""
        chunk, taken = min(self.every, most - step), 0
        self.stepper.begin()
        try:
            while taken < chunk:
                self.stepper.take(self.loaded.next())
                taken += 1
                if look(1):
                    break
        finally:
            self.stepper.tell_torch()
        return taken, self.stepper.mean()

    def mean(self) -> float:
        """See `Worker`."""
        return self.stepper.mean()

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """The optimizer's state."""
        return self.stepper.state()

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """See `Worker`."""
        self.stepper.restore(tensors, facts)
