"""Points with masses, for computing expectations.

Gauss quadrature for densities that have their own, and one rule for all others: the real line is
cut into panels whose widths double with the distance from the middle of the density, and each panel
gets Gauss-Legendre points. Densities with power-law tails need no special treatment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pccompiler.errors import CircuitError

ORDER = 32
"""Points of a Gauss quadrature, exact for polynomials of degree below 64."""
ORDERS = (16, 10)
"""Points per panel, and fewer points to check whether an integral has converged."""
_DOUBLINGS = range(-3, 61)
OUTER = 4 * ORDERS[0]
"""Points of the outermost panels, which must be negligible."""
SETTLED = 1e-6
"""The most that an integral may change with fewer points, relative to 1 or to itself."""


class Points(NamedTuple):
    """Points and masses, each of shape (units, points).

    ``outer`` is how many of the first and of the last points must be negligible because what lies
    beyond them was left out; 0 if nothing was.
    """

    points: Tensor
    masses: Tensor
    outer: int = 0

    def pick(self, units: slice) -> Points:
        """The points of some units."""
        return Points(self.points[units], self.masses[units], self.outer)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a function from its values at the points, shape (units,).

        Points without mass do not count, whatever the value there.

        Raises:
            CircuitError: If the integral does not converge: PC463.
        """
        parts = self.masses * torch.where(self.masses > 0.0, values, 0.0)
        if self.outer:
            self._check(parts.detach())
        return parts.sum(1)

    def _check(self, parts: Tensor) -> None:
        size = parts.abs()
        ends = size[:, : self.outer].sum(1) + size[:, -self.outer :].sum(1)
        whole = size.sum(1)
        settled = whole.isfinite() & (ends <= SETTLED * whole.clamp_min(1e-300))
        if not bool(settled.all()):
            raise CircuitError.of(
                "PC463",
                "the mean of a function under a leaf with heavy tails does not converge",
                notes=[f"{int((~settled).sum())} of {len(settled)} units have no such mean"],
                help="ask for a function that grows more slowly, or use leaves with lighter tails",
            )


def gauss(rule: Callable[[int], tuple[object, object]], like: Tensor) -> tuple[Tensor, Tensor]:
    """Points and weights of a quadrature rule."""
    points, weights = (torch.as_tensor(np.asarray(side)).to(like) for side in rule(ORDER))
    return points, weights


def panels_about(middle: Tensor, scale: Tensor) -> Tensor:
    """Edges of panels that double in width, shape (units, edges), from shapes (units, 1)."""
    steps = torch.tensor([2.0**k for k in _DOUBLINGS], dtype=middle.dtype, device=middle.device)
    offsets = torch.cat([-steps.flip(0), steps.new_zeros(1), steps])
    return middle + scale * offsets


def panel_points(edges: Tensor, order: int = ORDERS[0]) -> tuple[Tensor, Tensor]:
    """Points and their log-weights, each of shape (units, points)."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    lower, width = edges[:, :-1, None], edges.diff(dim=1)[..., None]
    inside = lower + width * torch.as_tensor(0.5 * (nodes + 1.0)).to(edges)
    logs = (width * torch.as_tensor(0.5 * weights).to(edges)).clamp_min(1e-300).log()
    return inside.flatten(1), logs.flatten(1)


def check_settled(change: Tensor, what: str) -> None:
    """Refuse an integral that is off by ``change``: PC462."""
    if bool((change.abs() > SETTLED).any()):
        raise CircuitError.of(
            "PC462",
            f"quadrature of {what} does not converge: it is off by {float(change.abs().max()):.1g}",
            help="give the family a closed form or its own quadrature points",
        )
