"""Differences of distribution functions that are accurate in both tails."""

from __future__ import annotations

import torch
from torch import Tensor


def between(scaled: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """Mass between neighbouring edges, from the mass below and above each, shape (rows, edges).

    Args:
        scaled: Edges relative to the middle of a symmetric density.
        below: Mass below each edge.
        above: Mass above each edge.
    """
    upper = scaled[:, :-1] > 0.0  # differences of the smaller tail keep their digits
    return torch.where(upper, -above.diff(dim=1), below.diff(dim=1))
