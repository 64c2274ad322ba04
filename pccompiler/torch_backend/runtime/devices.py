"""Checks of devices for models."""

from __future__ import annotations

from functools import cache
from typing import cast

import torch

from pccompiler.errors import OptionError
from pccompiler.options import shown


def usable_device(device: object) -> torch.device:
    """A device by name, after trying it.

    Args:
        device: For example ``"cpu"``, ``"cuda:1"`` or a ``torch.device``; ``None``: the default.

    Raises:
        OptionError: If torch cannot use it here, or it stores no values.
    """
    if device is None:
        return torch.get_default_device()
    try:
        found = device if isinstance(device, torch.device) else torch.device(cast(str, device))
        torch.zeros(1, device=found).item()  # a meta tensor has no item
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError):
        reasons, help = _why_not(str(device))
        raise OptionError.of(
            "PC302",
            f"device {shown(device)} cannot be used by torch here",
            notes=reasons,
            help=help,
        ) from None
    return found


def _why_not(device: str) -> tuple[list[str], str]:
    """Why a device cannot be used, as far as that is known, and a way out."""
    if not device.startswith("cuda"):
        return [], "use 'cpu', or 'cuda' if torch.cuda.is_available()"
    if not torch.backends.cuda.is_built():
        way = "use 'cpu', or install a build of torch with CUDA: https://pytorch.org/get-started"
        return ["this build of torch is without CUDA"], way
    if not torch.cuda.is_available():
        return ["torch finds no GPU, or no driver for it"], "use 'cpu', or ask nvidia-smi for GPUs"
    last = torch.cuda.device_count() - 1
    return [f"the GPUs that torch finds are cuda:0 to cuda:{last}"], "use one of them, or 'cpu'"


@cache
def total_memory(device: torch.device) -> int:
    """Bytes of memory of a GPU."""
    return int(torch.cuda.get_device_properties(device).total_memory)
