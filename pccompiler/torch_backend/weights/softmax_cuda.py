"""Softmax and floor on CUDA: one launch each way, where torch needs three or four."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pccompiler.ir.arrays import power_of_two
from pccompiler.torch_backend.runtime.kernel_cache import KernelError
from pccompiler.torch_backend.runtime.nvrtc import Kernel, Long, load
from pccompiler.torch_backend.runtime.transforms import transformed
from pccompiler.torch_backend.weights.softmax_cpu import softmax_slope

_KERNELS = Path(__file__).parent / "kernels"
_SOURCE = _KERNELS / "softmax_rows.cu"
SOFTMAX = _KERNELS / "softmax.cuh"
"""Softmax of a row, for kernels that compute weights themselves."""

_MOST = 1024
"""The most columns for which a warp keeps a row in registers."""
_THREADS = 256


def softmax_on_cuda(raw: Tensor, floor: float) -> Tensor | None:
    """``(softmax(raw) + floor) / (1 + columns floor)`` of the last axis; ``None`` to use torch."""
    short = 1 < raw.shape[-1] <= _MOST and raw.numel() > 0
    if not short or transformed() or raw.dtype != torch.float32 or raw.device.type != "cuda":
        return None
    try:
        kernels = _kernels(raw)
    except KernelError:
        return None
    result: Tensor = _Softmax.apply(kernels, raw, floor)  # type: ignore[no-untyped-call]
    return result


def _lanes(columns: int) -> int:
    return min(32, power_of_two(columns))


def _kernels(raw: Tensor) -> dict[str, Kernel]:
    columns = raw.shape[-1]
    defines = (
        ("COLUMNS", columns),
        ("WIDTH", _lanes(columns)),
        ("EACH", -(-columns // 32)),
        ("THREADS", _THREADS),
    )
    return load(raw.device, (_SOURCE,), defines, ("softmax_up", "softmax_down"))


class _Softmax(torch.autograd.Function):
    """Softmax and floor."""

    @staticmethod
    def forward(ctx: Any, kernels: dict[str, Kernel], raw: Tensor, floor: float) -> Tensor:
        ctx.set_materialize_grads(False)
        raw = raw.contiguous()
        ctx.kernel, ctx.floor = kernels["softmax_down"], floor
        ctx.save_for_backward(raw)
        return _call(kernels["softmax_up"], (raw,), floor)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[None, Tensor | None, None]:
        (grad,), (raw,) = grads, ctx.saved_tensors
        if grad is None:
            return None, None, None
        if torch.is_grad_enabled():
            weights = (torch.softmax(raw, -1) + ctx.floor) / (1.0 + raw.shape[-1] * ctx.floor)
            return None, softmax_slope(weights, grad, ctx.floor), None
        return None, _call(ctx.kernel, (raw, grad.contiguous()), ctx.floor), None


def _call(kernel: Kernel, given: tuple[Tensor, ...], floor: float) -> Tensor:
    out = torch.empty_like(given[0])
    columns = out.shape[-1]
    rows = out.numel() // columns
    blocks = -(-rows * _lanes(columns) // _THREADS)
    kernel((blocks, 1), (_THREADS, 1), 0, [*given, Long(rows), floor, out])
    return out
