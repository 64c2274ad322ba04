"""What engines have in common."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Kernels(Protocol):
    """Evaluates a circuit in fused kernels."""

    def __call__(self, x: Tensor, complete: bool) -> Tensor:
        """Log-likelihoods, shape (batch,), of rows (batch, variables), without `Plan.log_scale`."""
        ...


class NotFusedError(Exception):
    """Why a plan has no fused form."""
