"""Families over finitely many states whose density is a row of a table: indicators and their like.

Engines multiply with the tables, and queries look at states one by one, so little is left to say.
"""

from __future__ import annotations

from typing import ClassVar

from pccompiler.torch_backend.leaves.base import TorchLeaf
from pccompiler.torch_backend.leaves.fitting.columns import Float
from pccompiler.torch_backend.leaves.fitting.start import Start


class TableLeaf(TorchLeaf):
    """A family whose parameters, as `constrain` gives them, are the probabilities of states."""

    starts_anywhere: ClassVar[bool] = True

    def start(self, start: Start, size: int) -> Float:
        """A blend of frequencies, the unit's own state, and noise."""
        return start.shares(size)
