"""Poisson leaves."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.leaves.base import LEAST_LOG_DENSITY, TorchLeaf, Units
from pccompiler.torch_backend.leaves.fitting.columns import LEAST_RATE, Float
from pccompiler.torch_backend.leaves.fitting.start import Start
from pccompiler.torch_backend.leaves.fitting.statistics import (
    Counts,
    Estimate,
    Setting,
    Statistics,
)
from pccompiler.torch_backend.leaves.quadrature import Points
from pccompiler.torch_backend.leaves.tails import log_gamma_tails


class PoissonLeaf(TorchLeaf):
    """The parameter is the logarithm of the rate, ``-inf`` for a rate of 0."""

    keyword = "poisson"

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """In float64, since three large terms cancel for large counts."""
        counts, log_rate = x.double(), units.parameters.double()
        bounded = log_rate.clamp_min(LEAST_LOG_DENSITY)  # 0 times this is 0
        return counts * bounded - log_rate.exp() - torch.lgamma(counts + 1.0)

    def log_tails(self, x: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        """The count exceeds x if x + 1 events of a Poisson process come before time 1."""
        log_rate = units.parameters
        some = log_rate > -torch.inf
        above, below = log_gamma_tails(x + 1.0, log_rate.masked_fill(~some, 0.0))
        return below.masked_fill(~some, 0.0), above.masked_fill(~some, -torch.inf)

    def draw(self, units: Units, generator: torch.Generator | None) -> Tensor:
        """By torch's sampler."""
        return torch.poisson(units.parameters[..., 0].exp(), generator=generator)

    def mode(self, units: Units) -> Tensor:
        """The integer part of the rate."""
        return self.mean(units).floor()

    def mean(self, units: Units) -> Tensor:
        """The rate."""
        return units.parameters[..., 0].exp()

    def square(self, units: Units) -> Tensor:
        """The rate plus its square."""
        rate = self.mean(units)
        return rate * (1.0 + rate)

    def points(self, units: Units) -> Points:
        """Counts within ``12 sqrt(rate) + 40`` of the rate; all others have a mass below 1e-20."""
        rate = units.parameters[:, 0].detach().exp()
        reach = 12.0 * rate.sqrt() + 40.0
        first = (rate - reach).floor().clamp_min(0.0)
        number = int((rate + reach - first).max().ceil()) + 1 if len(rate) else 1
        counts = first + torch.arange(number, dtype=rate.dtype, device=rate.device)
        return Points(counts, units.log_density(counts).exp())

    def inner(self, left: Units, right: Units) -> Tensor:
        """``exp(-a - b) I0(2 sqrt(a b))``."""
        one, other = left.parameters[:, 0, 0], right.parameters[:, 0, 0]
        middle = (0.5 * (one + other)).exp()
        apart = (0.5 * one).exp() - (0.5 * other).exp()
        scaled: Tensor = torch.special.i0e(2.0 * middle)
        return scaled.log() - apart.square()

    def mean_log(self, left: Units, right: Units) -> tuple[Tensor, Tensor]:
        """A sum over counts; a rate of 0 allows only the count 0."""
        points = left.points()
        mean = points.mean(right.log_density(points.points))
        zero = right.parameters[:, 0, 0] == -torch.inf
        none = left.log_density(torch.zeros_like(left.parameters[:, 0, :1]))[:, 0]
        mass = torch.where(zero, none, 0.0)
        return mass, mean.masked_fill(zero, 0.0)

    def start(self, start: Start, size: int) -> Float:
        """Between the column's rate and the unit's own value."""
        rate = start.between(start.fact(start.columns.rate), start.values, 0.7)
        noise = np.exp(0.1 * start.apart * start.rng.standard_normal(rate.shape))
        return np.maximum(rate * noise, LEAST_RATE)[:, :, None]

    def statistics(self, setting: Setting) -> Statistics:
        """Rows and events."""
        return _Events(setting)


class _Events(Counts):
    def solve(self, found: Tensor, totals: Tensor) -> Estimate:
        """Events divided by rows."""
        rows, mean = totals[..., :1], totals[..., 1:] / totals[..., :1]
        return Estimate(mean.clamp_min(LEAST_RATE), rows)
