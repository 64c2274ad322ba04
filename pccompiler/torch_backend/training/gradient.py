"""Training by gradient: Adam with early stopping, keeping the best parameters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.options import as_float, seed_of, shown, whole
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.checkpointing.keeper import make_keeper
from pccompiler.torch_backend.training.course import Facts, Pace, TrainingData
from pccompiler.torch_backend.training.history import (
    Evaluation,
    History,
    mean_log_likelihood,
    trained_parameters,
    training_rows,
)
from pccompiler.torch_backend.training.initialise import begin
from pccompiler.torch_backend.training.loop import learn
from pccompiler.torch_backend.training.mapped_rows import MappedRows, stays_mapped
from pccompiler.torch_backend.training.row_weights import row_weights
from pccompiler.torch_backend.training.stepper import Stepper

REMEDY = "lower the learning rate"
"""What to do when training diverges."""

__all__ = ["Evaluation", "History", "fit", "mean_log_likelihood"]


def fit(
    model: CompiledCircuit,
    train: Tensor | ArrayLike,
    valid: Tensor | ArrayLike | None = None,
    *,
    weights: Tensor | ArrayLike | None = None,
    steps: int = 4000,
    batch_size: int = 500,
    learning_rate: float = 5e-3,
    weight_decay: float = 0.0,
    evaluate_every: int = 200,
    patience: int | None = None,
    seed: int = 0,
    progress: bool = True,
    cuda_graph: bool = True,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> History:
    """Maximize the log-likelihood of ``train``, and leave the best parameters in ``model``.

    The loss is the sum over the batch of the negative log-likelihood. Each batch is drawn without
    replacement, independently of the others (HyperSPN paper, section 5, and its authors' code). The
    parameters with the best validation value are kept, which may be the initial ones; without
    ``valid``, the last ones. Leaves over real variables and counts that still have the random
    numbers of `compile` are initialised from ``train`` first, see `initialise`. Frozen parameters
    (``requires_grad=False``) do not change.

    Args:
        model: Trained in place, on its own device.
        train: Shape ``(rows, variables)``, NaN where missing (such values are integrated
            out). Copied to the device once; from an array mapped from a file (``np.load(...,
            mmap_mode="r")``) of 256 MiB or more, only batches are copied.
        valid: Validation rows, copied to the device.
        weights: Weights of ``train``'s rows, shape ``(rows,)``, nonnegative: how many times a row
            counts. Rows of weight 0 are never drawn. ``None``: all 1.
        steps: The most steps to take.
        batch_size: Rows per batch, capped at the rows of ``train``.
        learning_rate: Learning rate of Adam.
        weight_decay: L2 penalty inside Adam, as in the paper's WD baseline.
        evaluate_every: Steps between evaluations on ``valid``.
        patience: Stop after this many evaluations without improvement; ``None`` for never.
        seed: Seed of the batches.
        progress: Whether to show a progress bar on a terminal.
        cuda_graph: Whether to capture the whole step, optimizer included, if CUDA is available.
        on_evaluation: Called with each `Evaluation`.
        checkpoint: A folder for the state of the training, written regularly, and when Ctrl-C or
            SIGTERM ends the training. The same call continues from there, bit for bit as if it had
            not been interrupted (docs/howto/training.md). ``steps`` and ``patience`` may change.
        checkpoint_every: Steps between two writes; ``None`` for two minutes.

    Raises:
        DataError: If the data do not fit the circuit, or a loss or parameter is not finite; the
            model then has its best or its last finite parameters.
        OptionError: If an option is invalid, or no parameter can be trained.
        CheckpointError: If the folder belongs to a training with other data, options or circuits.
        FileError: If the checkpoint cannot be written.
    """
    steps, batch_size = whole("steps", steps), whole("batch_size", batch_size)
    evaluate_every = whole("evaluate_every", evaluate_every)
    patience = None if patience is None else whole("patience", patience)
    seed = seed_of(seed)
    learning_rate, weight_decay = checked_rates(model, learning_rate, weight_decay)
    rows = TrainingData(
        _rows(model, train), None, None if valid is None else training_rows(model, valid, "valid")
    )
    rows = rows._replace(weights=row_weights(weights, len(rows.train)))
    drawn = None if rows.weights is None else rows.weights.nonzero().flatten().numpy()
    number = len(rows.train) if drawn is None else len(drawn)
    options: Facts = {
        "method": "fit",
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "evaluate_every": evaluate_every,
        "seed": seed,
    }
    keeper = make_keeper(checkpoint, checkpoint_every, model, rows, options)
    history = begin(model, rows, seed, keeper)
    batch = min(batch_size, number)
    stepper = Stepper(
        model, rows.train, rows.weights, batch, learning_rate, weight_decay, cuda_graph
    )
    worker = _Steps(stepper, np.random.default_rng(seed), number, drawn, evaluate_every)
    pace = Pace(steps, patience, progress, on_evaluation)
    with model.forward_threads(stepper.batch):
        return learn(model, worker, rows, history, keeper, pace)


def _rows(model: CompiledCircuit, train: Tensor | ArrayLike) -> Tensor | MappedRows:
    """Rows on the device, or in their file."""
    if stays_mapped(train):
        return MappedRows(model, np.asanyarray(train))
    return training_rows(model, train, "train")


class _Steps:
    """Steps in chunks of ``every``, each on its own batch. See `Worker`."""

    remedy = REMEDY

    def __init__(
        self,
        stepper: Stepper,
        rng: np.random.Generator,
        number: int,
        drawn: NDArray[np.int64] | None,
        every: int,
    ) -> None:
        self.stepper, self.rng, self.number, self.drawn = stepper, rng, number, drawn
        self.every = every
        self.before = rng.bit_generator.state  # before the draws of the current chunk
        self.done = 0  # steps of the current chunk

    def work(self, step: int, most: int, look: Callable[[], None]) -> tuple[int, float]:
        """Take a chunk of steps, or the rest of one."""
        chunk = max(self.done, min(self.every, most - step))
        rows = draw(self.rng, self.number, self.stepper.batch, chunk)

        def count(done: int) -> None:
            self.done = done
            look()

        batches = rows if self.drawn is None else torch.from_numpy(self.drawn[rows.numpy()])
        loss = self.stepper.run(batches, self.done, count)
        self.before, self.done = self.rng.bit_generator.state, 0
        return chunk, -loss

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """The optimizer's state, the random state and the position in the chunk."""
        return self.stepper.state(), {"random": self.before, "done": self.done}

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """See `Worker`."""
        self.stepper.restore(tensors)
        self.rng.bit_generator.state = self.before = facts["random"]
        self.done = int(facts["done"])


def draw(rng: np.random.Generator, number: int, batch: int, steps: int) -> Tensor:
    """Row numbers, shape (steps, batch), without repetition within a batch."""
    draws = [rng.choice(number, batch, replace=False, shuffle=False) for _ in range(steps)]
    return torch.from_numpy(np.stack(draws))


def checked_rates(
    model: CompiledCircuit, learning_rate: object, weight_decay: object
) -> tuple[float, float]:
    """The learning rate and the weight decay, checked."""
    rate, decay = as_float(learning_rate), as_float(weight_decay)
    if rate is None or decay is None or not (0.0 < rate < np.inf and 0.0 <= decay < np.inf):
        raise OptionError.of(
            "PC302",
            f"learning_rate is {shown(learning_rate)} and weight_decay {shown(weight_decay)}",
            help="give a positive learning rate, and a weight decay of 0 or more",
        )
    trained = trained_parameters(model)
    if decay and any(bool(p.isinf().any()) for p in trained.values()):
        raise OptionError.of(
            "PC306",
            "weight decay cannot be applied to weights that are exactly zero",
            help="train without weight decay, or without zero weights",
        )
    return rate, decay
