"""Fixed selections of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pccompiler.ir.arrays import Int
from pccompiler.torch_backend.runtime.transforms import transformed


class Take(torch.autograd.Function):
    """Rows of a table; if no row repeats, the backward pass is a gather as well."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, back: Tensor | None) -> Tensor:  # noqa: D102
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(rows, *(() if back is None else (back,)))
        ctx.number = len(table)
        return table.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, None]:  # noqa: D102
        (grad,) = grads
        if grad is None:
            return None, None, None
        rows, *back = ctx.saved_tensors
        return _put_back(grad, rows, back[0] if back else None, ctx.number), None, None


def _put_back(taken: Tensor, rows: Tensor, back: Tensor | None, number: int) -> Tensor:
    """Sums of the taken rows at their places; a gather if no row repeats."""
    if back is None:
        return taken.new_zeros(number, *taken.shape[1:]).index_add_(0, rows, taken)
    if len(taken) == number:  # a permutation
        return taken.index_select(0, back)
    padded = torch.cat([taken, taken.new_zeros(1, *taken.shape[1:])])
    return padded.index_select(0, back)


class Selection(nn.Module):
    """A fixed selection of rows, as buffers that move with the module but are not saved."""

    rows: Tensor | None
    back: Tensor | None

    def __init__(self, rows: Int, number: int) -> None:
        super().__init__()
        identity = len(rows) == number and bool((rows == np.arange(number)).all())
        unique = len(np.unique(rows)) == len(rows)
        back = np.full(number, len(rows))
        back[rows] = np.arange(len(rows))
        self.repeated = int(rows[0]) if len(rows) > 1 and (rows == rows[0]).all() else None
        self.register_buffer("rows", None if identity else torch.from_numpy(rows.copy()), False)
        keep_back = unique and not identity
        self.register_buffer("back", torch.from_numpy(back) if keep_back else None, False)

    def forward(self, table: Tensor) -> Tensor:
        """``table[rows]``; a view if it is one row again and again, as in homogeneous circuits."""
        if self.rows is None:
            return table
        if self.repeated is not None:
            return table.narrow(0, self.repeated, 1).expand(len(self.rows), *table.shape[1:])
        if transformed() or not torch.is_grad_enabled():
            return table.index_select(0, self.rows)
        result: Tensor = Take.apply(table, self.rows, self.back)  # type: ignore[no-untyped-call]  # torch's stub
        return result

    def back_from(self, taken: Tensor, number: int) -> Tensor:
        """The adjoint: for each of the table's ``number`` rows, the sum over its uses."""
        return taken if self.rows is None else _put_back(taken, self.rows, self.back, number)
