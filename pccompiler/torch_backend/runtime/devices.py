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
        raise OptionError.of(
            "PC302",
            f"device {shown(device)} cannot be used by torch here",
            help="use 'cpu', or 'cuda' if torch.cuda.is_available()",
        ) from None
    return found


@cache
def total_memory(device: torch.device) -> int:
    """Bytes of memory of a GPU."""
    return int(torch.cuda.get_device_properties(device).total_memory)
