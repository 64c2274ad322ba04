"""Families over finitely many states whose density is a row of a table, such as indicators.

Engines multiply by the tables, and queries enumerate the states, so few methods are needed.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from pccompiler.torch_backend.leaves.base import TorchLeaf
from pccompiler.torch_backend.leaves.fitting.columns import Float
from pccompiler.torch_backend.leaves.fitting.start import Start


class TableLeaf(TorchLeaf):
    """A family whose parameters, as returned by `constrain`, are the probabilities of states."""

    starts_anywhere: ClassVar[bool] = True

    def start(self, start: Start, size: int) -> Float:
        """A mixture of frequencies, the unit's own state, and noise."""
        return start.shares(size)

    def from_counts(self, shares: Tensor) -> Tensor:
        """The probabilities themselves."""
        return shares
