"""Bernoulli leaves."""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.torch_backend.leaves.fitting.columns import Float
from pccompiler.torch_backend.leaves.fitting.start import Start
from pccompiler.torch_backend.leaves.tables import TableLeaf
from pccompiler.torch_backend.weights.supports import lift


class BernoulliLeaf(TableLeaf):
    """The parameter is the probability of state 1; the table has both states."""

    keyword = "bernoulli"

    def constrain(self, raw: Tensor, floor: float) -> Tensor:
        """Probabilities of both states, each from its own logit so that no digits are lost."""
        one = lift(torch.sigmoid(raw), floor, 2)
        zero = lift(torch.sigmoid(-raw), floor, 2)
        return torch.cat([zero, one], dim=-1)

    def useless(self, table: Tensor) -> Tensor:
        """See `TorchLeaf.useless`, for both states."""
        return table.isnan()

    def start(self, start: Start, size: int) -> Float:
        """The probability of state 1, from shares of both states."""
        return start.shares(2)[:, :, 1:]

    def from_counts(self, shares: Tensor) -> Tensor:
        """The probability of state 1."""
        return shares[..., 1:]
