"""Results that are kept until the numbers that they were made from change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from pccompiler.torch_backend.runtime.transforms import transformed

Result = TypeVar("Result")
_MOST = 2**20
"""The most numbers that are kept, and compared at each call."""


class Remembered:
    """What functions made of tensors on a CPU, outside of gradients and transformations.

    Tensors are compared number by number with copies of those seen before, so that any way to
    change a parameter is noticed: also those that leave no trace in a tensor's version.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[list[Tensor], Any]] = {}

    def __call__(
        self, key: Hashable, given: Sequence[Tensor], make: Callable[[], Result]
    ) -> Result:
        """What ``make`` returns; nobody may write to it.

        Args:
            key: The name of the function.
            given: All tensors that its result depends on.
            make: The function.
        """
        if torch.is_grad_enabled() or transformed() or not _small(given):
            return make()
        key = key, torch.is_inference_mode_enabled()
        known = self._known.get(key)
        if known is not None and len(known[0]) == len(given) and all(map(_same, known[0], given)):
            found: Result = known[1]
            return found
        made = make()
        self._known[key] = [tensor.detach().clone() for tensor in given], made
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: copies and files do without it."""
        return {"_known": {}}


def _small(given: Sequence[Tensor]) -> bool:
    total = 0
    for tensor in given:
        total += tensor.numel()
        if tensor.device.type != "cpu":
            return False
    return total <= _MOST


def _same(old: Tensor, new: Tensor) -> bool:
    return old.dtype == new.dtype and old.shape == new.shape and torch.equal(old, new)
