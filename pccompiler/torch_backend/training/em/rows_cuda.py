"""The M-step of probabilities on CUDA: one launch for a group, which reads each number once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from pccompiler.ir.arrays import power_of_two
from pccompiler.torch_backend.runtime.kernel_cache import KernelError
from pccompiler.torch_backend.runtime.nvrtc import Argument, Kernel, Long, load

_SOURCE = Path(__file__).parent / "kernels" / "rows.cu"
_SHORT = 1024
"""The most columns for which a warp keeps a row in registers; longer rows get a block each."""
_THREADS = 256


def update_on_cuda(
    raw: Tensor,
    table: Tensor,
    counts: Tensor,
    rows: Tensor,
    scale: Tensor,
    pace: Sequence[float],
    floor: float,
) -> bool:
    """Write new logarithms to ``raw`` and update ``rows``; whether it could.

    `pccompiler.torch_backend.training.em.maximisation.RowUpdate` is the definition.
    """
    if not raw.is_cuda or raw.dtype != torch.float32 or raw.numel() == 0:
        return False
    try:
        kernel = _kernel(raw.device, raw.shape[-1])
    except KernelError:
        return False
    columns = raw.shape[-1]
    number = raw.numel() // columns
    lanes = _lanes(columns) if columns <= _SHORT else _THREADS
    given: list[Argument] = [table.contiguous(), counts.contiguous(), rows, scale]
    blocks = -(-number * lanes // _THREADS)
    kernel((blocks, 1), (_THREADS, 1), 0, [*given, Long(number), *pace, floor, raw])
    return True


def _lanes(columns: int) -> int:
    return min(32, power_of_two(columns))


def _kernel(device: torch.device, columns: int) -> Kernel:
    defines = (
        ("COLUMNS", columns),
        ("WIDTH", _lanes(columns)),
        ("EACH", -(-columns // 32)),
        ("SHORT", int(columns <= _SHORT)),
        ("THREADS", _THREADS),
    )
    return load(device, (_SOURCE,), defines, ("update_rows",))["update_rows"]
