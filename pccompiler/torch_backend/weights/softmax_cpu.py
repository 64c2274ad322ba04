"""Softmax of many rows on a CPU, with floor and row selection, reading each number once.

For short rows torch takes ten nanoseconds per number. For long ones its softmax is as fast, but
adding the floor and reordering rows are separate passes through fresh memory.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pccompiler.torch_backend.runtime.c_compiler import load_c_if_any
from pccompiler.torch_backend.runtime.threads import threads_for
from pccompiler.torch_backend.runtime.transforms import transformed
from pccompiler.torch_backend.weights.selection import Selection

_SOURCE = Path(__file__).parent / "kernels" / "softmax.c"

_LONG = 16
"""From this many columns on, a row fills vectors by itself."""
_P, _N, _I, _F = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_float
_SHORT = (_N, _I, _F, _I, _P)
_LONG_ROWS = (_P, _N, _N, _I, _F, _I, _P)
_FUNCTIONS = (
    ("short_up", (_P, *_SHORT)),
    ("short_down", (_P, _P, *_SHORT)),
    ("long_up", (_P, *_LONG_ROWS)),
    ("long_down", (_P, _P, *_LONG_ROWS)),
)


def lifted_softmax(raw: Tensor, floor: float, order: Selection | None = None) -> Tensor | None:
    """``(softmax(raw) + floor) / (1 + columns floor)`` of the last axis; ``None`` to use torch.

    Args:
        raw: Shape (matrices, ..., columns).
        floor: The lift of each weight.
        order: Which matrices of ``raw`` to take.
    """
    if raw.dtype != torch.float32 or raw.device.type != "cpu" or transformed():
        return None
    if _library() is None:
        return None
    if raw.ndim < 2 or raw.shape[-1] < 2 or raw.numel() == 0:
        return None
    rows = None if order is None else order.rows
    if order is not None and rows is not None and (order.back is None or raw.shape[-1] < _LONG):
        return None
    if not (torch.is_grad_enabled() and raw.requires_grad):
        return _up(raw, floor, rows)
    result: Tensor = _Softmax.apply(raw, floor, rows)  # type: ignore[no-untyped-call]
    return result


def _up(raw: Tensor, floor: float, rows: Tensor | None) -> Tensor:
    raw = raw.detach().contiguous()
    shape = raw.shape if rows is None else (len(rows), *raw.shape[1:])
    out = raw.new_empty(shape)
    _call("up", (raw,), rows, floor, out, out)
    return out


def _library() -> ctypes.CDLL | None:
    return load_c_if_any(_SOURCE, _FUNCTIONS)


class _Softmax(torch.autograd.Function):
    """Softmax and floor of rows, or of a selection of rows without repetitions."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, floor: float, rows: Tensor | None) -> Tensor:
        out = _up(raw, floor, rows)
        ctx.set_materialize_grads(False)
        ctx.floor, ctx.number = floor, len(raw)
        ctx.save_for_backward(out, *(() if rows is None else (rows,)))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, None, None]:
        (grad,) = grads
        weights, *order = ctx.saved_tensors
        rows = order[0] if order else None
        if grad is None:
            return None, None, None
        if torch.is_grad_enabled():
            slope = softmax_slope(weights, grad, ctx.floor)
            if rows is not None:
                zero = slope.new_zeros(ctx.number, *slope.shape[1:])
                slope = zero.index_copy(0, rows, slope)
            return slope, None, None
        shape = (ctx.number, *weights.shape[1:])
        out = weights.new_empty(shape) if len(weights) == ctx.number else weights.new_zeros(shape)
        _call("down", (weights, grad.contiguous()), rows, ctx.floor, weights, out)
        return out, None, None


def softmax_slope(weights: Tensor, grad: Tensor, floor: float) -> Tensor:
    """The gradient of the logits, in torch operations that can be differentiated again.

    Args:
        weights: Result of `lifted_softmax`, shape (..., columns).
        grad: Gradient of ``weights``, of the same shape.
        floor: As in `lifted_softmax`.
    """
    scale = 1.0 + weights.shape[-1] * floor
    plain = weights * scale - floor
    return plain * (grad - (plain * grad).sum(-1, keepdim=True)) / scale


def _call(
    name: str,
    given: tuple[Tensor, ...],
    order: Tensor | None,
    floor: float,
    like: Tensor,
    out: Tensor,
) -> None:
    """Run a function of the library on the rows of ``like``, in order or as selected."""
    columns, number = like.shape[-1], like.numel()
    pointers = [tensor.data_ptr() for tensor in given]
    rest = (columns, floor, threads_for(number), out.data_ptr())
    if columns < _LONG:
        getattr(_library(), f"short_{name}")(*pointers, number // columns, *rest)
        return
    pointers.append(0 if order is None else order.data_ptr())
    rows = number // (len(like) * columns)
    getattr(_library(), f"long_{name}")(*pointers, len(like), rows, *rest)
