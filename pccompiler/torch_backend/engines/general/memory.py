"""Memory that calls on a CPU use again."""

from __future__ import annotations

import contextlib
import threading

import torch
from torch import Tensor

_SPARE = 2
"""Memory for values is kept for so many calls; queries use two in turn."""
_local = threading.local()


class Kept:
    """Memory for values between the ways up and down; later calls use it again."""

    def __init__(self, spare: list[Tensor], size: int) -> None:
        self.spare = spare
        try:
            known = spare.pop()
        except IndexError:
            known = None
        self.memory = _aligned(size) if known is None or len(known) < size else known

    def __del__(self) -> None:
        self.spare.append(self.memory)  # each is either here or in use, whatever the threads
        if len(self.spare) > _SPARE:
            with contextlib.suppress(IndexError):  # another thread has taken it
                self.spare.pop(0)


def space(size: int) -> Tensor:
    """This thread's memory, of at least ``size`` bytes."""
    known: Tensor | None = getattr(_local, "space", None)
    if known is None or len(known) < size:
        known = _local.space = _aligned(size)
    return known


def _aligned(size: int) -> Tensor:
    """Bytes that start at a multiple of 64."""
    found = torch.empty(size + 64, dtype=torch.uint8, device="cpu")
    return found[-found.data_ptr() % 64 :]


def forget() -> None:
    """Free this thread's memory."""
    _local.space = None
