"""Gaussian leaves."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.leaves.base import Constants, TorchLeaf, Units
from pccompiler.torch_backend.leaves.fitting.columns import Float
from pccompiler.torch_backend.leaves.fitting.start import Start
from pccompiler.torch_backend.leaves.fitting.statistics import (
    TENTH,
    Estimate,
    Moments,
    Setting,
    Statistics,
)
from pccompiler.torch_backend.leaves.quadrature import Points, gauss, panels_about
from pccompiler.torch_backend.leaves.tails import between

_LOG_2PI = math.log(2.0 * math.pi)
_LOG_SQRT_2PI = 0.5 * _LOG_2PI


class GaussianLeaf(TorchLeaf):
    """Parameters are the mean and the standard deviation."""

    keyword = "gaussian"

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """The normal density."""
        mean, deviation = units.parameters[..., :1], units.parameters[..., 1:]
        scaled = (x - mean) / deviation
        return -0.5 * scaled.square() - deviation.log() - _LOG_SQRT_2PI

    def log_tails(self, x: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        """The standard normal tails of the standardised value."""
        mean, deviation = units.parameters[..., :1], units.parameters[..., 1:]
        scaled = (x - mean) / deviation
        return torch.special.log_ndtr(scaled), torch.special.log_ndtr(-scaled)

    def draw(self, units: Units, generator: torch.Generator | None) -> Tensor:
        """Scaled and shifted noise."""
        mean, deviation = units.parameters.unbind(-1)
        return mean + deviation * torch.empty_like(mean).normal_(generator=generator)

    def mode(self, units: Units) -> Tensor:
        """The mean."""
        return units.parameters[..., 0]

    def mean(self, units: Units) -> Tensor:
        """The mean."""
        return units.parameters[..., 0]

    def square(self, units: Units) -> Tensor:
        """Squared mean plus variance."""
        return units.parameters[..., 0].square() + units.parameters[..., 1].square()

    def points(self, units: Units) -> Points:
        """Gauss-Hermite quadrature, exact for polynomials of degree below 64."""
        mean, deviation = units.parameters[:, 0].split(1, dim=1)
        points, weights = gauss(np.polynomial.hermite_e.hermegauss, mean)
        masses = (weights / weights.sum()).expand(len(mean), -1)
        return Points(mean + deviation * points, masses)

    def panels(self, units: Units) -> Tensor:
        """Around the mean."""
        return panels_about(*units.parameters[:, 0].split(1, dim=1))

    def entropy(self, units: Units) -> Tensor:
        """In closed form."""
        return units.parameters[:, 0, 1].log() + 0.5 * (_LOG_2PI + 1.0)

    def inner(self, left: Units, right: Units) -> Tensor:
        """The density of the difference of the two variables, at 0."""
        variance = left.parameters[:, 0, 1].square() + right.parameters[:, 0, 1].square()
        away = left.parameters[:, 0, 0] - right.parameters[:, 0, 0]
        return -0.5 * (away.square() / variance + variance.log() + _LOG_2PI)

    def mean_log(self, left: Units, right: Units) -> tuple[Tensor, Tensor]:
        """From the mean squared distance, whatever the left family."""
        location, scale = right.parameters[:, 0].split(1, dim=1)
        points = left.points()
        square = points.mean(((points.points - location) / scale).square())
        mean = -0.5 * (square + _LOG_2PI) - scale[:, 0].log()
        return torch.zeros_like(mean), mean

    def mean_distance(self, units: Units, location: Tensor) -> Tensor:
        """From the density and the distribution function."""
        mean, scale = units.parameters[:, 0].unbind(1)
        away = (mean - location) / scale
        density = (-0.5 * (away.square() + _LOG_2PI)).exp()
        inner: Tensor = torch.special.erf(away / math.sqrt(2.0))
        return scale * (2.0 * density + away * inner)

    def masses(self, units: Units, edges: Tensor) -> Tensor:
        """Differences of the distribution function."""
        mean, deviation = units.parameters[:, 0].split(1, dim=1)
        scaled = (edges - mean) / deviation
        return between(scaled, torch.special.ndtr(scaled), torch.special.ndtr(-scaled))

    def start(self, start: Start, size: int) -> Float:
        """Means at the units' own values, deviations at least half the column's."""
        return start.places_and_scales(start.columns.spread)

    def statistics(self, setting: Setting) -> Statistics:
        """Rows, sums and sums of squares."""
        return _Squares(setting)

    def blend(self, old: Tensor, new: Tensor, part: Tensor) -> Tensor:
        """Linear in the mean and the mean square."""
        mean = old[..., :1] + part * (new[..., :1] - old[..., :1])
        between_means = part * (1.0 - part) * (new[..., :1] - old[..., :1]).square()
        within = (1.0 - part) * old[..., 1:].square() + part * new[..., 1:].square()
        return torch.cat([mean, (within + between_means).sqrt()], dim=-1)


class _Squares(Moments):
    """Statistics of values standardized by the column's mean and deviation."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        columns = setting.columns
        self.least = setting.fact(columns.least).unsqueeze(1)
        self.centre = setting.fact(lambda pool: columns.spread(pool)[0])
        self.spread = setting.fact(lambda pool: columns.spread(pool)[1])

    def prior(self) -> Tensor:
        """One row around the column's mean, with a tenth of its deviation."""
        one = self.setting.fact(lambda _: 1.0)
        return torch.cat([one, 0.0 * one, TENTH**2 * one], dim=1)

    def features(self, x: Tensor, index: Tensor, constants: Constants) -> Tensor:
        """Rows, values and squares."""
        centre, spread = self.centre[index].unsqueeze(1), self.spread[index].unsqueeze(1)
        scaled = (x - centre) / spread
        return torch.cat([torch.ones_like(x), scaled, scaled.square()], dim=1)

    def solve(self, found: Tensor, totals: Tensor) -> Estimate:
        """Prior rows are centred on each unit's own mean."""
        rows, mean = found[..., :1], found[..., 1:2] / found[..., :1]
        squares = (totals[..., 2:] - rows * mean.square()).clamp_min(0.0)
        spread = self.spread.unsqueeze(1)
        deviation = ((squares / totals[..., :1]).sqrt() * spread).maximum(self.least)
        return Estimate(torch.cat([self.centre.unsqueeze(1) + spread * mean, deviation], 2), rows)
