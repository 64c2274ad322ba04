"""Leaf tables of many states are looked up: no tensor of states one-hot, no product with it.

A code is a value's state; one more means missing, two more a value that is no state. A table gets a
column for each: its row sums, as states all ones would give, and zeros.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import torch
from torch import Tensor

from pccompiler.torch_backend.runtime.c_compiler import load_c_if_any
from pccompiler.torch_backend.runtime.threads import threads_for
from pccompiler.torch_backend.values import safe_div

_SOURCE = Path(__file__).parent / "kernels" / "lookup.c"

LEAST_STATES = 3
"""From this many states up tables are looked up: binary ones have quicker ways of their own.

Measured on a CPU, one thread, float32, 1,000 rows of 32 units, batch 500, both directions, against
states one-hot: 27 and 117 ms with 3 states, 69 and 740 ms with 256.
"""

_P, _N, _I = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_FUNCTIONS = (
    ("codes", (_P, _N, _N, _P)),
    ("look_up", (_P, _P, _N, _N, _N, _N, _I, _P)),
    ("table_gradient", (_P, _P, _P, _N, _N, _N, _N, _I, _I, _P)),
)


def codes_of(column: Tensor, states: int) -> Tensor:
    """Codes of values, shape (rows, 1, batch), int64.

    Args:
        column: Shape (rows, 1, batch), NaN where missing.
        states: Of each variable.
    """
    library = _library(column)
    if library is not None:
        column = column.contiguous()
        out = torch.empty_like(column, dtype=torch.int64)
        library.codes(column.data_ptr(), column.numel(), states, out.data_ptr())
        return out
    whole = column.to(torch.int64)
    known = (whole >= 0) & (whole < states) & (whole.to(column.dtype) == column)
    other = column.isnan().logical_not_().to(torch.int64).add_(states)
    return torch.where(known, whole, other)


def look_up(table: Tensor, codes: Tensor, *, log: bool, out: Tensor) -> Tensor:
    """The table's entries, or their logarithms, shape (rows, units, batch), in ``out``.

    Args:
        table: Shape (rows, units, states).
        codes: As `codes_of` gives them, shape (rows, 1, batch).
        log: Whether logarithms are wanted.
        out: Where they go.
    """
    library = _library(table)
    if library is not None:
        table, codes = table.contiguous(), codes.contiguous()
        given = (table.data_ptr(), codes.data_ptr(), *table.shape, codes.shape[2])
        library.look_up(*given, threads_for(out.numel()), out.data_ptr())
        return out.log_() if log else out
    states = table.shape[2]
    if out.shape[2] >= states:
        wide = _extended(table)
        return torch.gather(wide.log_() if log else wide, 2, codes.expand(out.shape), out=out)
    index = codes.clamp_max(states - 1).expand(out.shape)
    torch.gather(table, 2, index, out=out)  # few rows: no copy of the table
    other = (codes == states).to(table.dtype) * table.sum(2, keepdim=True)
    torch.where(codes < states, out, other, out=out)
    return out.log_() if log else out


def table_gradient(table: Tensor, codes: Tensor, grad: Tensor, *, log: bool) -> Tensor:
    """Gradient of the table, of its shape.

    On a CPU gradients are added up state by state; on CUDA, where that takes atomic additions in no
    fixed order, by a product with states one-hot.

    Args:
        table: Shape (rows, units, states).
        codes: Shape (rows, 1, batch).
        grad: By what `look_up` gave, shape (rows, units, batch).
        log: As `look_up` was told.
    """
    library = _library(table)
    if library is not None:
        table, codes, grad = table.contiguous(), codes.contiguous(), grad.contiguous()
        totals = torch.empty_like(table)
        given = (table.data_ptr(), codes.data_ptr(), grad.data_ptr(), *table.shape, grad.shape[2])
        library.table_gradient(*given, log, threads_for(totals.numel()), totals.data_ptr())
        return totals
    states, few = table.shape[2], grad.shape[2] < table.shape[2]
    if log and few:
        grad = safe_div(grad, look_up(table, codes, log=False, out=torch.empty_like(grad)))
    if grad.device.type == "cpu":
        totals = grad.new_zeros(*table.shape[:2], states + 2)
        totals.scatter_add_(2, codes.expand(grad.shape), grad)
    else:
        every = torch.arange(states + 2, device=codes.device).view(1, -1, 1)
        totals = torch.bmm(grad, (codes == every).to(grad.dtype).transpose(1, 2))
    if log and not few:  # no flow passes through a zero
        totals = safe_div(totals, _extended(table))
    return totals[..., :states] + totals[..., states : states + 1]


def _extended(table: Tensor) -> Tensor:
    """The table with its row sums and with zeros, shape (rows, units, states + 2)."""
    total = table.sum(2, keepdim=True)
    return torch.cat([table, total, torch.zeros_like(total)], dim=2)


def _library(like: Tensor) -> ctypes.CDLL | None:
    """Functions in C for tensors such as ``like``; ``None``: torch's job."""
    fits = like.dtype == torch.float32 and like.device.type == "cpu"
    return load_c_if_any(_SOURCE, _FUNCTIONS) if fits else None
