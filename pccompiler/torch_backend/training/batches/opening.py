"""Opens the data of a training: arrays, files, datasets and loaders."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from pccompiler.errors import OptionError
from pccompiler.options import shown
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.batches.mapped_rows import MappedRows, stays_mapped
from pccompiler.torch_backend.training.batches.sources import Data, DatasetRows, Given, Loaded
from pccompiler.torch_backend.training.course import TrainingData
from pccompiler.torch_backend.training.history import training_rows
from pccompiler.torch_backend.training.losses import Loss
from pccompiler.torch_backend.training.row_weights import row_weights

BATCH = 500
"""Rows of a batch, unless given."""


def training_data(
    model: CompiledCircuit,
    train: Given,
    valid: Given | None,
    weights: Tensor | ArrayLike | None,
    batch_size: int | None,
    loss: Loss | None,
) -> TrainingData:
    """The data of `fit`: training rows checked or opened, the others checked and on the device.

    Raises:
        DataError: If they do not fit the circuit.
        OptionError: If an option does not go with a loader, or the loss is no function.
    """
    if loss is not None and not callable(loss):
        raise OptionError.of(
            "PC835",
            f"loss is {shown(loss)}",
            help="give a function of the model and the rows, such as "
            "pccompiler.losses.discriminative('label')",
        )
    if isinstance(train, DataLoader) and batch_size is not None:
        raise OptionError.of(
            "PC830",
            "batch_size is given, and the loader makes the batches",
            help="make the loader with it: torch.utils.data.DataLoader(dataset, batch_size=...)",
        )
    rows = _opened(model, train, batch_size or BATCH, "train")
    held_out = None if valid is None else _opened(model, valid, batch_size or BATCH, "valid")
    if isinstance(rows, Loaded):
        if weights is not None:
            raise OptionError.of(
                "PC830",
                "weights are given, and the rows of a loader or an iterable dataset have no "
                "numbers",
                help="give a dataset with __getitem__ and __len__, or let the loader draw by "
                "weight: torch.utils.data.WeightedRandomSampler",
            )
        return TrainingData(rows, None, _gathered(model, held_out), loss)
    shares = row_weights(weights, len(rows))
    return TrainingData(rows, shares, _gathered(model, held_out), loss)


def _opened(model: CompiledCircuit, given: object, batch_size: int, name: str) -> Data:
    if isinstance(given, IterableDataset):
        given = DataLoader(given, batch_size=batch_size)
    if isinstance(given, DataLoader):
        return Loaded(model, given)
    if type(given) is TensorDataset:  # a subclass may change what it gives
        given = given.tensors[0]
    if isinstance(given, Dataset):
        rows = DatasetRows(model, given)
        return rows if len(rows) else training_rows(model, np.empty((0, len(model.names))), name)
    if name == "train" and stays_mapped(cast(Any, given)):
        return MappedRows(model, np.asanyarray(given))
    return training_rows(model, cast(Any, given), name)  # which refuses what is not a table


def _gathered(model: CompiledCircuit, rows: Data | None) -> Tensor | None:
    """All rows, on the device."""
    if rows is None or isinstance(rows, Tensor):
        return rows
    parts = rows.whole_epoch() if isinstance(rows, Loaded) else rows.split(model.evaluation_batch)
    return torch.cat(list(parts))
