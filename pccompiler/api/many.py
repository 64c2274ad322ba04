"""Many models of one circuit, trained at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from pccompiler.api.preparing import Dtype, precision_of, prepare
from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Generator, Sectors
from pccompiler.ir.sectors import Cut
from pccompiler.options import as_float, seed_of, shown, whole
from pccompiler.structures.mixture_of import mixture_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from pccompiler.torch_backend import CompiledCircuit, History
    from pccompiler.torch_backend.training.together import Rows

_FOLD_SEED = 0
"""Seed of the order in which rows are dealt to folds."""


@dataclass(frozen=True, eq=False)
class Many:
    """Trained models and their histories, in the order of the seeds.

    Attributes:
        models: The models, each with its best parameters.
        histories: What `fit` would have returned for each.
    """

    models: list[CompiledCircuit]
    histories: list[History]

    @property
    def best(self) -> CompiledCircuit:
        """The model with the highest validation value.

        Raises:
            OptionError: If there were no validation data.
        """
        values = [history.best_valid for history in self.histories]
        known = [-math.inf if value is None else value for value in values]
        if all(value is None for value in values):
            raise OptionError.of(
                "PC302",
                "no model is the best one, since they have not been validated",
                help="give validation data, or folds",
            )
        return self.models[int(np.argmax(known))]

    def mixture(self, weights: ArrayLike | None = None) -> Circuit:
        """A mixture of all models, with their values; uniform, unless ``weights`` are given.

        Raises:
            OptionError: If the weights do not fit.
        """
        return mixture_of([model.trained_circuit() for model in self.models], weights)


def fit_many(
    circuit: Circuit,
    train: Tensor | ArrayLike,
    valid: Tensor | ArrayLike | None = None,
    hypernetwork: Generator | None = None,
    *,
    seeds: int | Sequence[int],
    learning_rate: float | Sequence[float] = 5e-3,
    weight_decay: float | Sequence[float] = 0.0,
    folds: int | None = None,
    sectors: Sectors | Cut | None = None,
    device: str | torch.device | None = None,
    dtype: Dtype | torch.dtype = "float32",
    steps: int = 4000,
    batch_size: int = 500,
    evaluate_every: int = 200,
    patience: int | None = None,
    progress: bool = True,
) -> Many:
    """Train a model of one circuit for each seed, all at once.

    Each model ends with the parameters that ``compile(circuit, hypernetwork, seed=seed)`` and
    ``fit(model, train, valid, seed=seed)`` would give it. On a GPU the steps of all models are one
    CUDA graph, so that small circuits use more of it; on a CPU they are trained in turns.

    Args:
        circuit: The circuit.
        train: Shape ``(rows, variables)``, NaN where missing.
        valid: Validation rows, for all models.
        hypernetwork: As in `compile`.
        seeds: One for each model, or a number of models, whose seeds are 0, 1, and so on.
        learning_rate: Learning rate of Adam, for all models or one for each.
        weight_decay: L2 penalty inside Adam, for all models or one for each.
        folds: Cut ``train`` into so many folds; the i-th model is trained without the fold i modulo
            ``folds``, and validated on it. Batches are at most as large as the smallest rest.
        sectors: As in `compile`.
        device: As in `compile`.
        dtype: As in `compile`.
        steps: As in `fit`.
        batch_size: As in `fit`.
        evaluate_every: As in `fit`.
        patience: As in `fit`, for each model by itself.
        progress: Whether to show a progress bar on a terminal.

    Raises:
        CircuitError: If the circuit breaks a rule.
        DataError: If the data do not fit the circuit, or a loss or parameter is not finite.
        OptionError: If an option is invalid.
    """
    import torch

    from pccompiler.torch_backend import CompiledCircuit
    from pccompiler.torch_backend.runtime.devices import usable_device
    from pccompiler.torch_backend.training.together import Run, Schedule, train_together

    numbers = list(range(whole("seeds", seeds)) if isinstance(seeds, int) else map(seed_of, seeds))
    if not numbers:
        raise OptionError.of("PC302", "there are no seeds", help="give at least one")
    rates = _each("learning_rate", learning_rate, len(numbers))
    decays = _each("weight_decay", weight_decay, len(numbers))
    precision = precision_of(dtype)
    schedule = Schedule(
        steps=whole("steps", steps),
        batch_size=whole("batch_size", batch_size),
        evaluate_every=whole("evaluate_every", evaluate_every),
        patience=None if patience is None else whole("patience", patience),
    )
    where = usable_device(device)
    prepared, lowered = prepare(circuit, hypernetwork, sectors, precision, "auto")
    models: list[CompiledCircuit] = []
    for number in numbers:
        kind = getattr(torch, precision)
        model = CompiledCircuit(prepared, lowered, device=where, dtype=kind, seed=number)
        model.set_weights(prepared.weights.values)
        models.append(model)
    runs = [
        Run(seed=seed, learning_rate=rate, weight_decay=decay)
        for seed, rate, decay in zip(numbers, rates, decays, strict=True)
    ]
    rows = _rows(models[0], train, valid, folds)
    own = [rows[number % len(rows)] for number in range(len(models))]
    return Many(models, train_together(models, runs, own, schedule, progress=progress))


def _each(name: str, given: object, number: int) -> list[float]:
    """One number for each model."""
    if isinstance(given, Sequence | np.ndarray) and not isinstance(given, str):
        values = [as_float(value) for value in given]
    else:
        values = [as_float(given)] * number
    known = [value for value in values if value is not None]
    if len(known) != number or len(values) != number:
        raise OptionError.of(
            "PC302",
            f"{name} is {shown(given)}, for {number} models",
            help="give one number, or one for each seed",
        )
    return known


def _rows(
    model: CompiledCircuit,
    train: Tensor | ArrayLike,
    valid: Tensor | ArrayLike | None,
    folds: int | None,
) -> list[Rows]:
    """The rows of each fold; without folds, one pair."""
    import torch

    from pccompiler.torch_backend.training.history import training_rows
    from pccompiler.torch_backend.training.together import Rows

    known = training_rows(model, train, "train")
    held_out = None if valid is None else training_rows(model, valid, "valid")
    if folds is None:
        return [Rows(known, held_out)]
    number = whole("folds", folds, 2)
    if held_out is not None or number > len(known):
        raise OptionError.of(
            "PC302",
            f"folds is {number}, with {len(known)} rows"
            + (" and validation data" if held_out is not None else ""),
            help="give either validation data or folds, and not more folds than rows",
        )
    order = np.random.default_rng(_FOLD_SEED).permutation(len(known))
    parts = np.array_split(order, number)
    found: list[Rows] = []
    for part in parts:
        rest = torch.from_numpy(np.setdiff1d(order, part)).to(known.device)
        mine = torch.from_numpy(np.sort(part)).to(known.device)
        found.append(Rows(known[rest], known[mine]))
    return found
