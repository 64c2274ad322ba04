"""Weights of rows: how many times each row counts."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.torch_backend.data.inputs import as_tensor


def row_weights(weights: Tensor | ArrayLike | None, rows: int) -> Tensor | None:
    """``weights``, checked and converted to float64 on the CPU; ``None`` stays ``None``.

    Args:
        weights: Shape ``(rows,)``, nonnegative and not all 0.
        rows: The required number of weights.

    Raises:
        DataError: If the shape is wrong, some are negative or not finite, or all are 0.
    """
    if weights is None:
        return None
    found = as_tensor(weights).detach().to("cpu", torch.float64)
    if tuple(found.shape) != (rows,):
        raise DataError.of(
            "PC361",
            f"the weights of rows have shape {tuple(found.shape)}, but there are {rows} rows",
            help=f"give one weight per row, shape ({rows},)",
        )
    wrong = ~(found.isfinite() & (found >= 0.0))
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise DataError.of(
            "PC362",
            f"the weight of row {row} is {float(found[row]):g}",
            notes=(f"{int(wrong.sum())} weights are negative or not finite",),
            help="give each row a finite weight of 0 or more",
        )
    if not bool((found > 0.0).any()):
        raise DataError.of(
            "PC363",
            f"all {rows} weights of rows are 0",
            help="give at least one row a positive weight",
        )
    return found
