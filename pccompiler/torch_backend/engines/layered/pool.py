"""Reuse of large buffers on the CPU, where fresh memory costs a page fault every 4 KiB.

On CUDA torch's own caching allocator does this. Measured at n = 69, k = 5, r = 50, batch 500 on two
cores: a training step takes 22 ms with reuse and 40 ms without.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor


class Pool:
    """Unused buffers, by size, for one batch size at a time."""

    def __init__(self) -> None:
        self.free: dict[int, list[Tensor]] = defaultdict(list)
        self.batch = -1

    def renew(self, batch: int) -> None:
        """Forget all buffers if the batch size changes."""
        if batch != self.batch:
            self.free.clear()
            self.batch = batch


class Lease:
    """The buffers of one evaluation; they return to the pool when it is garbage-collected.

    An evaluation lives as long as its result's graph, so a second backward pass finds its values.
    """

    def __init__(self, pool: Pool | None, like: Tensor) -> None:
        usable = like.device.type == "cpu" and not torch.is_inference_mode_enabled()
        self.pool = pool if usable else None
        self.like = like
        self.taken: dict[int, Tensor] = {}
        if self.pool is not None:
            self.pool.renew(like.shape[-1])

    def take(self, shape: tuple[int, ...] | torch.Size) -> Tensor:
        """An uninitialized tensor of ``shape``."""
        if self.pool is None:
            return self.like.new_empty(shape)
        size = torch.Size(shape).numel()
        free = self.pool.free[size]
        flat = free.pop() if free else self.like.new_empty(size)
        if flat.dtype != self.like.dtype:
            flat = self.like.new_empty(size)
        self.taken[flat.data_ptr()] = flat
        return flat.view(shape)

    def give_back(self, tensor: Tensor | None) -> None:
        """Return a buffer early; tensors that were not taken here are ignored."""
        if self.pool is None or tensor is None:
            return
        flat = self.taken.pop(tensor.data_ptr(), None)
        if flat is not None:
            self.pool.free[flat.numel()].append(flat)

    def __del__(self) -> None:
        if self.pool is not None and self.pool.batch == self.like.shape[-1]:
            for flat in self.taken.values():
                self.pool.free[flat.numel()].append(flat)
