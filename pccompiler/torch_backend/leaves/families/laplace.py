"""Laplace leaves."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.leaves.base import TorchLeaf, Units
from pccompiler.torch_backend.leaves.fitting.cells import CellStatistics, SomeWeights
from pccompiler.torch_backend.leaves.fitting.columns import Float
from pccompiler.torch_backend.leaves.fitting.start import Start
from pccompiler.torch_backend.leaves.fitting.statistics import TENTH, Setting, Statistics
from pccompiler.torch_backend.leaves.quadrature import Points, gauss, panels_about
from pccompiler.torch_backend.leaves.tails import between, log1m_exp


class LaplaceLeaf(TorchLeaf):
    """Parameters are the location and the scale."""

    keyword = "laplace"

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """Two exponential tails."""
        location, scale = units.parameters[..., :1], units.parameters[..., 1:]
        return -(x - location).abs() / scale - (2.0 * scale).log()

    def log_tails(self, x: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        """Half an exponential tail on the value's own side."""
        location, scale = units.parameters[..., :1], units.parameters[..., 1:]
        tail = -(x - location).abs() / scale - math.log(2.0)
        low, rest = x < location, log1m_exp(tail)
        return torch.where(low, tail, rest), torch.where(low, rest, tail)

    def draw(self, units: Units, generator: torch.Generator | None) -> Tensor:
        """The difference of two exponential random numbers."""
        location, scale = units.parameters.unbind(-1)
        pair = torch.empty_like(units.parameters).exponential_(generator=generator)
        return location + scale * (pair[..., 0] - pair[..., 1])

    def mode(self, units: Units) -> Tensor:
        """The location."""
        return units.parameters[..., 0]

    def mean(self, units: Units) -> Tensor:
        """The location."""
        return units.parameters[..., 0]

    def square(self, units: Units) -> Tensor:
        """Squared location plus variance."""
        return units.parameters[..., 0].square() + 2.0 * units.parameters[..., 1].square()

    def points(self, units: Units) -> Points:
        """Gauss-Laguerre quadrature on both sides, exact for polynomials of degree below 64."""
        location, scale = units.parameters[:, 0].split(1, dim=1)
        points, weights = gauss(np.polynomial.laguerre.laggauss, location)
        both = torch.cat([-points.flip(0), points])
        masses = 0.5 * torch.cat([weights.flip(0), weights]).expand(len(location), -1)
        return Points(location + scale * both, masses)

    def panels(self, units: Units) -> Tensor:
        """Around the location, where the density has a kink."""
        return panels_about(*units.parameters[:, 0].split(1, dim=1))

    def entropy(self, units: Units) -> Tensor:
        """In closed form."""
        return (2.0 * units.parameters[:, 0, 1]).log() + 1.0

    def inner(self, left: Units, right: Units) -> Tensor:
        """With scales ``a <= b``: ``(b exp(-d/b) - a exp(-d/a)) / (2 (b**2 - a**2))``, stably."""
        one, other = left.parameters[:, 0], right.parameters[:, 0]
        away = (one[:, 0] - other[:, 0]).abs()
        small, large = torch.minimum(one[:, 1], other[:, 1]), torch.maximum(one[:, 1], other[:, 1])
        gap = (large - small) / large
        series = 1.0 + gap / 2.0 + gap.square() / 3.0
        log_ratio = _over(torch.log1p(-gap.clamp_max(0.5)), -gap, series)
        log_ratio = torch.where(gap > 0.5, (large / small).log() / gap.clamp_min(0.5), log_ratio)
        slope = log_ratio + away / small
        spread = slope * gap
        grown = _over(-torch.expm1(-spread), spread, 1.0 - spread / 2.0 + spread.square() / 6.0)
        return -away / large + (slope * grown / (2.0 * (small + large))).log()

    def mean_log(self, left: Units, right: Units) -> tuple[Tensor, Tensor] | None:
        """From the mean distance, if the left family has it."""
        location, scale = right.parameters[:, 0].unbind(1)
        distance = left.leaf.mean_distance(left, location)
        if distance is None:
            return None
        mean = -distance / scale - (2.0 * scale).log()
        return torch.zeros_like(mean), mean

    def mean_distance(self, units: Units, location: Tensor) -> Tensor:
        """In closed form."""
        mean, scale = units.parameters[:, 0].unbind(1)
        away = (mean - location) / scale
        return scale * (away.abs() + (-away.abs()).exp())

    def masses(self, units: Units, edges: Tensor) -> Tensor:
        """Differences of the distribution function."""
        location, scale = units.parameters[:, 0].split(1, dim=1)
        scaled = (edges - location) / scale
        tail = 0.5 * (-scaled.abs()).exp()
        low = scaled < 0.0
        return between(
            scaled, torch.where(low, tail, 1.0 - tail), torch.where(low, 1.0 - tail, tail)
        )

    def start(self, start: Start, size: int) -> Float:
        """Locations at the units' own values, scales at least half the column's."""
        return start.places_and_scales(start.columns.distance)

    def statistics(self, setting: Setting) -> Statistics:
        """The values themselves."""
        return _Medians(setting)


class _Medians(CellStatistics):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        columns = setting.columns
        self.distance = setting.fact(lambda pool: columns.distance(pool)[1])
        self.least = setting.fact(columns.least)

    def solve(self, some: SomeWeights, pseudocount: float) -> tuple[Tensor, Tensor]:
        """Medians and mean distances; prior rows are centred on each unit's median."""
        middle, distance, total = medians(some.points, some.mass)
        distance = distance + pseudocount * TENTH * self.distance[some.place]
        spread = (distance / (total + pseudocount)).maximum(self.least[some.place])
        return torch.stack([middle, spread], dim=2), total


def medians(values: Tensor, mass: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted medians, sums of distances from them, and total masses, each (rows, units).

    Args:
        values: Shape ``(rows, cells)``, in any order.
        mass: Shape ``(rows, units, cells)``.
    """
    order = values.argsort(dim=1)
    ordered = values.gather(1, order).unsqueeze(1).expand(mass.shape)
    sorted_mass = mass.gather(2, order.unsqueeze(1).expand(mass.shape))
    running = sorted_mass.cumsum(2)
    total = running[..., -1:]
    place = (running < 0.5 * total).sum(2, keepdim=True).clamp_max(values.shape[1] - 1)
    median = ordered.gather(2, place)
    distance = (sorted_mass * (ordered - median).abs()).sum(2)
    return median[..., 0], distance, total[..., 0]


def _over(part: Tensor, whole: Tensor, near_zero: Tensor) -> Tensor:
    """A quotient, by its series near 0."""
    small = whole.abs() < 1e-5
    return torch.where(small, near_zero, part / whole.masked_fill(small, 1.0))
