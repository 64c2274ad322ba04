"""Maximises likelihoods of one positive parameter, where the others have a closed form given it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

_HALVINGS = 60


def root(score: Callable[[Tensor], Tensor], low: Tensor, high: Tensor) -> Tensor:
    """Where a score changes from positive to negative, between positive bounds, by bisection.

    It is the maximum between the bounds of a likelihood with this derivative (or a positive
    multiple of it), if the likelihood first rises, then falls.

    Args:
        score: Maps parameters to scores, both of the shape of the bounds.
        low: Smallest parameters, which are returned if the likelihood falls from there.
        high: Largest parameters.
    """
    below, above = low.log(), high.log()
    for _ in range(_HALVINGS):
        middle = 0.5 * (below + above)
        rises = score(middle.exp()) > 0.0
        below, above = middle.where(rises, below), above.where(rises, middle)
    return (0.5 * (below + above)).exp().clamp(low, high)
