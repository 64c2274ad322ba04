"""Training by gradient: any optimizer, early stopping, keeping the best parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from pccompiler.errors import OptionError
from pccompiler.options import as_float, seed_of, shown, whole
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.batches.opening import training_data
from pccompiler.torch_backend.training.batches.plan import planned
from pccompiler.torch_backend.training.batches.sources import Given
from pccompiler.torch_backend.training.callbacks.base import Callback
from pccompiler.torch_backend.training.callbacks.scheduled import Scheduled
from pccompiler.torch_backend.training.checkpointing.keeper import make_keeper
from pccompiler.torch_backend.training.checkpointing.naming import lasting_name
from pccompiler.torch_backend.training.course import Facts
from pccompiler.torch_backend.training.history import (
    Evaluation,
    History,
    mean_log_likelihood,
    trained_parameters,
)
from pccompiler.torch_backend.training.initialise import begin
from pccompiler.torch_backend.training.loop import (
    Pace,
    check_trainable,
    learn,
    patience_of,
    watchers,
)
from pccompiler.torch_backend.training.losses import Loss
from pccompiler.torch_backend.training.optimizers.adam import make_adam
from pccompiler.torch_backend.training.optimizers.chosen import (
    OptimizerOption,
    SchedulerOption,
    make_chosen,
)
from pccompiler.torch_backend.training.stepper import Stepper

_RATE = 5e-3

__all__ = ["Evaluation", "History", "fit", "mean_log_likelihood"]


def fit(
    model: CompiledCircuit,
    train: Given,
    valid: Given | None = None,
    *,
    weights: Tensor | ArrayLike | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    optimizer: OptimizerOption | None = None,
    scheduler: SchedulerOption | None = None,
    loss: Loss | None = None,
    learning_rate: float | None = None,
    weight_decay: float = 0.0,
    evaluate_every: int | None = None,
    patience: int | None = None,
    seed: int = 0,
    callbacks: Iterable[Callback] | Callback = (),
    progress: bool = True,
    cuda_graph: bool = True,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> History:
    """Minimize a loss over ``train``, and leave the best parameters in ``model``.

    By default the loss is the negative log-likelihood, summed over the batch, and the optimizer is
    Adam. Each batch is drawn without replacement, independently of the others (HyperSPN paper,
    section 5, and its authors' code); with ``epochs``, each row is in one batch of every epoch. The
    parameters with the best validation value are kept, which may be the initial ones; without
    ``valid``, the last ones. Leaves over real variables and counts that still have the random
    numbers of `compile` are initialised from ``train`` first, see `initialise`. Frozen parameters
    (``requires_grad=False``) do not change.

    Args:
        model: Trained in place, on its own device.
        train: Shape ``(rows, variables)``, NaN where missing (such values are integrated
            out). Copied to the device once; from an array mapped from a file (``np.load(...,
            mmap_mode="r")``) of 256 MiB or more, only batches are copied. Or a
            ``torch.utils.data.Dataset`` of such rows, or a ``DataLoader`` of such batches, whose
            order is kept; of tuples the first entry is used.
        valid: Validation rows, likewise, copied to the device.
        weights: Weights of ``train``'s rows, shape ``(rows,)``, nonnegative: how many times a row
            counts. Rows of weight 0 are never drawn. ``None``: all 1.
        steps: The most steps to take; 4,000 unless ``epochs`` is given.
        epochs: The most passes over ``train``, instead of ``steps``.
        batch_size: Rows per batch, 500 unless given, capped at the rows of ``train``.
        optimizer: Makes a torch optimizer of a list of parameters (``torch.optim.AdamW``,
            ``functools.partial(torch.optim.SGD, lr=0.1)``), or one over the model's parameters.
            ``None``: Adam with ``learning_rate`` and ``weight_decay``.
        scheduler: Makes a scheduler of the optimizer, or one of ``torch.optim.lr_scheduler``. It
            moves after each step, with ``epochs`` after each epoch. ``ReduceLROnPlateau`` moves
            with each validation value: the loss, or with ``mode="max"`` minus the loss.
        loss: Called with the model and the rows of a batch, shape ``(batch, variables)``; returns a
            scalar to minimize, or one value for each row, whose mean is minimized. See
            `pccompiler.losses`. With your own optimizer, too, the default is a mean.
        learning_rate: Learning rate of the default optimizer; ``None`` for 5e-3.
        weight_decay: L2 penalty inside the default optimizer, as in the paper's WD baseline.
        evaluate_every: Steps between evaluations; 200, or with ``epochs`` an epoch.
        patience: Stop after this many evaluations without improvement; ``None`` for never.
        seed: Seed of the batches.
        callbacks: Instances of `pccompiler.Callback`, which may stop the training.
        progress: Whether to show progress on standard error: a bar on a terminal, otherwise a line
            every ten seconds.
        cuda_graph: Whether to capture the whole step, optimizer included, if CUDA is available and
            nothing prevents it; `History.not_captured` says what did.
        on_evaluation: Called with each `Evaluation`.
        checkpoint: A folder for the state of the training, written regularly, and when Ctrl-C or
            SIGTERM ends the training. The same call continues from there, bit for bit as if it had
            not been interrupted (docs/howto/training.md). ``steps``, ``epochs`` and ``patience``
            may change.
        checkpoint_every: Steps between two writes; ``None`` for two minutes.

    Raises:
        DataError: If the data do not fit the circuit, or a loss or parameter is not finite; the
            model then has its best or its last finite parameters.
        OptionError: If an option is invalid or does not go with others, or no parameter can be
            trained.
        CheckpointError: If the folder belongs to a training with other data, options or circuits.
        FileError: If the checkpoint cannot be written.
    """
    check_trainable(model)
    patience, seed = patience_of(patience), seed_of(seed)
    batch_size = None if batch_size is None else whole("batch_size", batch_size)
    watching = watchers(callbacks, progress, on_evaluation)
    is_own = optimizer is not None or isinstance(scheduler, LRScheduler)
    rate, decay = _rates(model, is_own, learning_rate, weight_decay)
    rows = training_data(model, train, valid, weights, batch_size, loss)
    plan = planned(rows, batch_size, steps, epochs, evaluate_every)
    chosen = make_chosen(
        model, optimizer, scheduler, rate, decay, with_valid=rows.valid is not None
    )
    options: Facts = {
        "method": "fit",
        "batch_size": plan.batch_size,
        "learning_rate": rate,
        "weight_decay": decay,
        "evaluate_every": plan.every,
        "seed": seed,
        "epochs": None if plan.epoch is None else "yes",
        "optimizer": None if chosen is None else chosen.identity,
        "loss": None if loss is None else lasting_name(loss),
    }
    keeper = make_keeper(checkpoint, checkpoint_every, model, rows, options)
    history = begin(model, rows, seed, keeper)
    if chosen is not None:
        watching.insert(0, Scheduled(chosen, plan.epoch or 1))
    stepper = Stepper(
        model,
        plan.buffer(rows.train),
        rows.weights,
        plan.batch,
        partial(make_adam, rate=rate, decay=decay) if chosen is None else lambda _: chosen,
        cuda_graph=cuda_graph,
        loss=loss,
        mean=is_own or loss is not None,
        gathers=isinstance(rows.train, Tensor),
    )
    worker = plan.worker(stepper, rows.train, np.random.default_rng(seed))
    pace = Pace(plan.steps, patience, watching, stepper.optimizer.torch_optimizer)
    with model.forward_threads(plan.batch):
        return learn(model, worker, rows, history, keeper, pace)


def _rates(
    model: CompiledCircuit, is_own: bool, learning_rate: object, weight_decay: object
) -> tuple[float, float]:
    """The rates of the default optimizer; refused beside an optimizer of the caller."""
    if is_own and not (learning_rate is None and weight_decay == 0.0):
        raise OptionError.of(
            "PC833",
            "learning_rate and weight_decay are those of the default optimizer, "
            "and optimizer= gives another one",
            help="set them there: functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.01)",
        )
    return checked_rates(model, _RATE if learning_rate is None else learning_rate, weight_decay)


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
