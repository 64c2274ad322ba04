"""Leaf distributions as points with masses, from which expectations of leaf functions follow.

Families over finitely many states have their states. Real families have the points of a Gaussian
quadrature, which is exact for polynomials of degree below 64 in each piece (Gauss and Hermite for
normal leaves, Gauss and Laguerre on both sides of Laplace leaves, Gauss and Legendre in each bin of
a histogram). Poisson leaves have the counts within ``12 sqrt(rate) + 40`` of their rate: what lies
outside has a mass below 1e-20.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir import Family

if TYPE_CHECKING:
    pass

_ORDER = 32
"""Points of a quadrature."""


@dataclass(frozen=True, eq=False)
class Leaves:
    """Units of one family, in float64.

    Attributes:
        family: Their family.
        parameters: Shape (units, columns): as `constrain` gives them (Poisson: log rate).
        table: Shape (units, states), of families over finitely many states.
        edges: Shape (units, bins + 1), of histograms.
    """

    family: Family
    parameters: Tensor
    table: Tensor | None = None
    edges: Tensor | None = None

    def pick(self, index: Tensor) -> Leaves:
        """Some of the units."""
        table = None if self.table is None else self.table.index_select(0, index)
        edges = None if self.edges is None else self.edges.index_select(0, index)
        chosen = self.parameters.index_select(0, index)
        return replace(self, parameters=chosen, table=table, edges=edges)

    def points(self) -> tuple[Tensor, Tensor]:
        """Points and their masses, each of shape (units, points)."""
        if self.table is None:
            return _POINTS[self.family](self)
        states = torch.arange(self.table.shape[1], device=self.table.device)
        return states.to(self.table).expand_as(self.table), self.table


def _gauss(rule: Callable[[int], tuple[object, object]], like: Tensor) -> tuple[Tensor, Tensor]:
    """A quadrature's points and weights."""
    points, weights = rule(_ORDER)
    return torch.as_tensor(np.asarray(points)).to(like), torch.as_tensor(np.asarray(weights)).to(
        like
    )


def _gaussian(leaves: Leaves) -> tuple[Tensor, Tensor]:
    mean, deviation = leaves.parameters.split(1, dim=1)
    points, weights = _gauss(np.polynomial.hermite_e.hermegauss, mean)
    masses = (weights / weights.sum()).expand(len(mean), -1)
    return mean + deviation * points, masses


def _laplace(leaves: Leaves) -> tuple[Tensor, Tensor]:
    location, scale = leaves.parameters.split(1, dim=1)
    points, weights = _gauss(np.polynomial.laguerre.laggauss, location)
    both = torch.cat([-points.flip(0), points])
    masses = 0.5 * torch.cat([weights.flip(0), weights]).expand(len(location), -1)
    return location + scale * both, masses


def _histogram(leaves: Leaves) -> tuple[Tensor, Tensor]:
    edges = edges_of(leaves)
    points, weights = _gauss(np.polynomial.legendre.leggauss, edges)
    lower, width = edges[:, :-1, None], edges.diff(dim=1)[..., None]
    inside = lower + width * (0.5 * (points + 1.0))
    masses = leaves.parameters[..., None] * (0.5 * weights)
    return inside.flatten(1), masses.flatten(1)


def _poisson(leaves: Leaves) -> tuple[Tensor, Tensor]:
    log_rate = leaves.parameters[:, :1]
    rate = log_rate.detach().exp()
    reach = 12.0 * rate.sqrt() + 40.0
    first = (rate - reach).floor().clamp_min(0.0)
    number = int((rate + reach - first).max().ceil()) + 1 if len(rate) else 1
    counts = first + torch.arange(number, dtype=rate.dtype, device=rate.device)
    bounded = log_rate.clamp_min(-1e30)  # 0 times it is 0
    logs = counts * bounded - log_rate.exp() - torch.lgamma(counts + 1.0)
    return counts, logs.exp()


def edges_of(leaves: Leaves) -> Tensor:
    """Edges of histograms, shape (units, bins + 1)."""
    if leaves.edges is None:
        raise AssertionError("only histograms have edges")  # pragma: no cover
    return leaves.edges


_POINTS: dict[Family, Callable[[Leaves], tuple[Tensor, Tensor]]] = {
    Family.GAUSSIAN: _gaussian,
    Family.LAPLACE: _laplace,
    Family.HISTOGRAM: _histogram,
    Family.POISSON: _poisson,
}
