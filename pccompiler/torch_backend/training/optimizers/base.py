"""The protocol of optimizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from pccompiler.torch_backend.training.course import Facts


class Optimizer(Protocol):
    """The optimizer interface that training needs."""

    @property
    def torch_optimizer(self) -> torch.optim.Optimizer | None:
        """The optimizer that the caller chose, if it is one of torch's."""
        ...

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the parameters."""
        ...

    def tensors(self) -> list[Tensor]:
        """All tensors that a step changes in place, besides the parameters."""
        ...

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """Everything that later steps depend on."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], facts: Facts) -> None:
        """Restore a `state`."""
        ...


MakeOptimizer: TypeAlias = Callable[[Sequence[Tensor]], Optimizer]
"""Takes aliases of the parameters that are trained."""
