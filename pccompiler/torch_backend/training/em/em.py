"""Training by expectation maximisation: full-batch, or stepwise over mini-batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.options import as_float, one_of, seed_of, shown, whole
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.callbacks.base import Callback
from pccompiler.torch_backend.training.checkpointing.keeper import make_keeper
from pccompiler.torch_backend.training.course import Facts, TrainingData
from pccompiler.torch_backend.training.em import maximisation as em
from pccompiler.torch_backend.training.em.learner import Learner, counted
from pccompiler.torch_backend.training.history import (
    Evaluation,
    History,
    trained_parameters,
    training_rows,
)
from pccompiler.torch_backend.training.initialise import begin
from pccompiler.torch_backend.training.loop import (
    Pace,
    check_trainable,
    learn,
    patience_of,
    watchers,
)
from pccompiler.torch_backend.training.row_weights import row_weights

Method = Literal["running", "anemone"]


def fit_em(
    model: CompiledCircuit,
    train: Tensor | ArrayLike,
    valid: Tensor | ArrayLike | None = None,
    *,
    weights: Tensor | ArrayLike | None = None,
    iterations: int = 100,
    batch_size: int | None = None,
    step_size: float = 1.0,
    pseudocount: float = 0.1,
    method: Method = "running",
    patience: int | None = None,
    seed: int = 0,
    callbacks: Iterable[Callback] | Callback = (),
    progress: bool = True,
    on_evaluation: Callable[[Evaluation], None] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
) -> History:
    """Maximize the log-likelihood of ``train`` by expectation maximisation.

    An iteration is one pass over ``train``. With the full batch, a step size of 1 and no
    pseudocounts no iteration lowers the log-likelihood. With ``batch_size``, parameters change
    after each batch, ``step_size`` of the way to the batch's own optimum (more precisely, each
    unit's statistics are such a running mean). Sums and all leaves learn; shared weights add their
    counts; a missing value gives leaves no counts. The parameters with the best validation value
    are kept, which may be the initial ones; without ``valid``, the last ones. Leaves over real
    variables and counts that still have the random numbers of `compile` are initialised from
    ``train`` first, see `initialise`. Frozen parameters (``requires_grad=False``) do not change.

    Args:
        model: Trained in place, on its own device.
        train: Shape ``(rows, variables)``, NaN where missing. Copied to the device once; evaluated
            in parts that fit in memory.
        valid: Validation rows, treated likewise.
        weights: Weights of ``train``'s rows, shape ``(rows,)``, nonnegative: how many times a row
            counts. The column means and deviations that pseudocounts use count each row of
            positive weight once. ``None``: all 1.
        iterations: The most passes over ``train``.
        batch_size: Rows between two updates of the parameters; ``None`` for all.
        step_size: Above 0, at most 1.
        pseudocount: Number of prior rows of each unit: for sums, states and bins spread evenly; for
            counts at the column's mean; for Gaussian and Laplace leaves around their own centre,
            with a tenth of the column's spread. 0 for none.
        method: What the old parameters of a unit count for in a step over a batch. "running": the
            running mean number of rows that reached the unit. "anemone": the number that the model
            expects to reach it, so that a batch changes a unit by no more than its share of the
            model allows. The same for a step size of 1.
        patience: Stop after this many iterations without improvement on ``valid``; ``None``: never.
        seed: Seed of the batches.
        callbacks: As in `pccompiler.fit`; a step is an iteration.
        progress: Whether to show progress on standard error, as in `pccompiler.fit`.
        on_evaluation: Called with each `Evaluation`; its ``train`` is the mean over the iteration,
            each batch before its update.
        checkpoint: A folder for the state of the training, as in `pccompiler.fit`. ``iterations``
            and ``patience`` may change when it continues.
        checkpoint_every: Batches between two writes; ``None`` for two minutes.

    Returns:
        The history, in which a step is an iteration.

    Raises:
        OptionError: If an option is invalid, a hypernetwork generates the weights, or no parameter
            can be trained.
        DataError: If the data do not fit the circuit, or a row is impossible.
        CheckpointError: If the folder belongs to a training with other data, options or circuits.
        FileError: If the checkpoint cannot be written.

    Source:
        Dempster, Laird and Rubin (1977). Stepwise: Cappé and Moulines (2009), "Online
        Expectation-Maximization Algorithm for Latent Data Models". Method "anemone": Liu, Shao and
        Van den Broeck (2025), "Rethinking Probabilistic Circuit Parameter Learning", without its
        momentum.
    """
    check_trainable(model)
    iterations = whole("iterations", iterations)
    batch_size = None if batch_size is None else whole("batch_size", batch_size)
    watching = watchers(callbacks, progress, on_evaluation)
    seed = seed_of(seed)
    step_size, pseudocount = _numbers(step_size, pseudocount)
    one_of("method", method, get_args(Method))
    _check_generator(model)
    data = training_rows(model, train, "train")
    held_out = None if valid is None else training_rows(model, valid, "valid")
    rows = TrainingData(data, row_weights(weights, len(data)), held_out)
    options: Facts = {
        "method": "fit_em",
        "batch_size": batch_size,
        "step_size": step_size,
        "pseudocount": pseudocount,
        "em_method": method,
        "seed": seed,
    }
    keeper = make_keeper(checkpoint, checkpoint_every, model, rows, options)
    history = begin(model, rows, seed, keeper)
    learner = Learner(
        model,
        *counted(data, rows.weights),
        np.random.default_rng(seed),
        iterations,
        batch_size,
        em.Pace(step_size, pseudocount, method == "anemone"),
    )
    pace = Pace(iterations, patience_of(patience), watching)
    with model.threads(min(learner.part, learner.batch)):
        return learn(model, learner, rows, history, keeper, pace)


def _numbers(step_size: object, pseudocount: object) -> tuple[float, float]:
    """The step size and the pseudocount, checked."""
    step, count = as_float(step_size), as_float(pseudocount)
    if step is None or count is None or not (0.0 < step <= 1.0 and 0.0 <= count < math.inf):
        raise OptionError.of(
            "PC302",
            f"step_size is {shown(step_size)} and pseudocount {shown(pseudocount)}",
            help="give a step size above 0 and at most 1, and a pseudocount of 0 or more",
        )
    return step, count


def _check_generator(model: CompiledCircuit) -> None:
    generated = [group for group in model.plan.groups if group.generated]
    if generated:
        raise OptionError.of(
            "PC360",
            "expectation maximisation sets each weight separately, but this circuit generates "
            f"{sum(len(group.weights) for group in generated)} of its weights",
            notes=(f"generator: {model.plan.generator.keyword}",),
            help="train it by gradient: pccompiler.fit(model, ...)",
        )
    trained_parameters(model)
