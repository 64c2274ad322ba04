"""Looks up leaf tables of many states, without one-hot states and matrix products.

A code is the value's state; the next two codes mean a missing value and a value that is not a
state. A table gets a column for each: its row sums (as all-ones states would give), and zeros.
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
"""From this many states on tables are looked up; binary ones have faster ways of their own.

Measured on a CPU, one thread, float32, 1,000 rows of 32 units, batch 500, both directions, lookup
and one-hot states: 27 and 117 ms with 3 states, 69 and 740 ms with 256.
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
        states: Number of states of each variable.
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
    """Write the table's entries or their logarithms, shape (rows, units, batch), to ``out``.

    Args:
        table: Shape (rows, units, states).
        codes: As returned by `codes_of`, shape (rows, 1, batch).
        log: Whether logarithms are wanted.
        out: The output.
    """
    library = _library(table)
    if library is not None:
        table, codes = table.contiguous(), codes.contiguous()
        given = (table.data_ptr(), codes.data_ptr(), *table.shape, codes.shape[2])
        library.look_up(*given, threads_for(out.numel()), out.data_ptr())
        return out.log_() if log else out
    states = table.shape[2]
    if out.shape[2] >= states:
        wide = extended(table)
        return torch.gather(wide.log_() if log else wide, 2, codes.expand(out.shape), out=out)
    index = codes.clamp_max(states - 1).expand(out.shape)
    torch.gather(table, 2, index, out=out)  # few rows: no copy of the table
    other = (codes == states).to(table.dtype) * table.sum(2, keepdim=True)
    torch.where(codes < states, out, other, out=out)
    return out.log_() if log else out


def table_gradient(table: Tensor, codes: Tensor, grad: Tensor, *, log: bool) -> Tensor:
    """Gradient of the table, of the same shape.

    On a CPU gradients are added state by state; on CUDA, where that would take atomic additions in
    no fixed order, by a product with one-hot states.

    Args:
        table: Shape (rows, units, states).
        codes: Shape (rows, 1, batch).
        grad: Gradient of the result of `look_up`, shape (rows, units, batch).
        log: As in `look_up`.
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
        totals = safe_div(totals, extended(table))
    return totals[..., :states] + totals[..., states : states + 1]


def extended(table: Tensor) -> Tensor:
    """The table with its row sums and with zeros, shape (rows, units, states + 2)."""
    total = table.sum(2, keepdim=True)
    return torch.cat([table, total, torch.zeros_like(total)], dim=2)


def _library(like: Tensor) -> ctypes.CDLL | None:
    """C functions for tensors such as ``like``; ``None`` to use torch."""
    fits = like.dtype == torch.float32 and like.device.type == "cpu"
    return load_c_if_any(_SOURCE, _FUNCTIONS) if fits else None
