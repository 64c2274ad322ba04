"""Softmax of many short rows on a CPU, where torch takes ten nanoseconds a number."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from pccompiler.torch_backend.c_compiler import load_c
from pccompiler.torch_backend.kernel_files import KernelError
from pccompiler.torch_backend.threads import share_out

_MOST = 32
"""Columns, from which on torch's is as quick."""
_ALONE = 200_000
"""Numbers that one thread does sooner than several."""
_P, _N = ctypes.c_void_p, ctypes.c_int64
_FUNCTIONS = (
    ("softmax_up", (_P, _N, _N, ctypes.c_int, ctypes.c_float, _P)),
    ("softmax_down", (_P, _P, _N, _N, ctypes.c_int, ctypes.c_float, _P)),
)


def lifted_softmax(raw: Tensor, floor: float) -> Tensor | None:
    """``(softmax(raw) + floor) / (1 + columns floor)`` of the last axis; ``None``: torch's job."""
    short = 1 < raw.shape[-1] <= _MOST and raw.numel() > 0
    if not short or raw.dtype != torch.float32 or raw.device.type != "cpu" or _library() is None:
        return None
    result: Tensor = _Softmax.apply(raw, floor)  # type: ignore[no-untyped-call]
    return result


@cache
def _library() -> ctypes.CDLL | None:
    try:
        return load_c("softmax.c", (), _FUNCTIONS)
    except KernelError:
        return None


class _Softmax(torch.autograd.Function):
    """Softmax and floor."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, floor: float) -> Tensor:
        raw = raw.contiguous()
        out = torch.empty_like(raw)
        _call("softmax_up", (raw,), floor, out)
        ctx.floor = floor
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:  # type: ignore[override, unused-ignore]  # pyright: ignore[reportIncompatibleMethodOverride]
        (weights,) = ctx.saved_tensors
        out = torch.empty_like(weights)
        _call("softmax_down", (weights, grad_outputs[0].contiguous()), ctx.floor, out)
        return out, None


def _call(name: str, given: tuple[Tensor, ...], floor: float, out: Tensor) -> None:
    columns, to = out.shape[-1], out.data_ptr()
    pointers = [tensor.data_ptr() for tensor in given]
    function = getattr(_library(), name)

    def work(first: int, last: int) -> None:
        function(*pointers, first, last, columns, floor, to)

    share_out(work, out.numel() // columns, out.numel() < _ALONE)
