"""How long a training is, and of what size its batches are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.options import whole
from pccompiler.torch_backend.training.batches.opening import BATCH
from pccompiler.torch_backend.training.batches.order import Independent, Order, Shuffled
from pccompiler.torch_backend.training.batches.sources import Data, Loaded, Source
from pccompiler.torch_backend.training.batches.workers import Drawn, FromLoader
from pccompiler.torch_backend.training.course import TrainingData, Worker
from pccompiler.torch_backend.training.stepper import Stepper

_STEPS, _EVERY = 4000, 200


@dataclass(frozen=True, eq=False)
class Plan:
    """The batches of a training.

    Attributes:
        batch_size: As wanted.
        batch: Rows of a full batch.
        number: Rows to draw from, those of positive weight.
        numbers: Which those are; ``None`` for all.
        steps: The most steps.
        every: Steps between two evaluations.
        epoch: Steps of an epoch, if the training is counted in epochs.
    """

    batch_size: int
    batch: int
    number: int
    numbers: NDArray[np.int64] | None
    steps: int
    every: int
    epoch: int | None

    def buffer(self, data: Data) -> Tensor | Source:
        """What the steps read: the rows, or a batch of a loader."""
        return torch.zeros_like(data.first(1)[0]) if isinstance(data, Loaded) else data

    def worker(self, stepper: Stepper, data: Data, rng: np.random.Generator) -> Worker:
        """Takes the steps."""
        if isinstance(data, Loaded):
            return FromLoader(stepper, data, self.every)
        kind = Independent if self.epoch is None else Shuffled
        order: Order = kind(rng, self.number, self.batch)
        return Drawn(stepper, order, self.numbers, self.every)


def planned(
    rows: TrainingData,
    batch_size: int | None,
    steps: object,
    epochs: object,
    evaluate_every: object,
) -> Plan:
    """The batches of a training.

    Args:
        rows: The data.
        batch_size: See `fit`.
        steps: See `fit`.
        epochs: See `fit`.
        evaluate_every: See `fit`.

    Raises:
        OptionError: If a number is invalid, or both steps and epochs are given.
    """
    size = BATCH if batch_size is None else batch_size
    numbers = None if rows.weights is None else rows.weights.nonzero().flatten().numpy()
    if isinstance(rows.train, Loaded):
        batch = number = len(rows.train.first(1)[0])
        length = rows.train.epoch
    else:
        number = len(rows.train) if numbers is None else len(numbers)
        batch = min(size, number)
        length = math.ceil(number / batch)
    epoch = None if epochs is None else _epoch(steps, length)
    if epoch is None:
        most = _STEPS if steps is None else whole("steps", steps)
    else:
        most = whole("epochs", epochs) * epoch
    every = epoch or _EVERY if evaluate_every is None else whole("evaluate_every", evaluate_every)
    return Plan(size, batch, number, numbers, most, every, epoch)


def _epoch(steps: object, length: int | None) -> int:
    """Steps of an epoch, which must be known, and steps not given."""
    if steps is not None:
        raise OptionError.of("PC830", "both steps and epochs are given", help="give one of them")
    if length is None:
        raise OptionError.of(
            "PC830",
            "epochs cannot be counted: the loader does not know its length",
            help="give steps=, or define __len__ of its dataset",
        )
    return length
