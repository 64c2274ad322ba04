"""Counts the bytes of live tensors: the actual memory of an evaluation."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode  # the documented way to see every op
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Within this context, `peak` is the most bytes of tensors made here and alive at once.

    Tensors that torch makes and drops inside one operation are not seen.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's stub
        self.now = self.peak = 0
        self._users: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],  # any operation of torch, hence Any
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        inputs = {_place(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._see(tensor, inputs)
        return result

    def _see(self, tensor: Tensor, inputs: set[int]) -> None:
        place, size = _place(tensor), tensor.untyped_storage().nbytes()
        if place not in self._users:
            if place in inputs or size == 0:  # made before
                return
            self._users[place] = 0
            self.now += size
            self.peak = max(self.peak, self.now)
        self._users[place] += 1
        weakref.finalize(tensor, self._drop, place, size)

    def _drop(self, place: int, size: int) -> None:
        self._users[place] -= 1
        if self._users[place] == 0:
            del self._users[place]
            self.now -= size


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def live_bytes(run: Callable[[], object]) -> int:
    """Peak bytes of the tensors that ``run`` makes, without gradients."""
    count = LiveBytes()
    with torch.no_grad(), count:
        run()
    return count.peak
