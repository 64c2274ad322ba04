"""Histogram leaves, over the bins of their variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir import Variable
from pccompiler.torch_backend.leaves.base import Constants, TorchLeaf, Units
from pccompiler.torch_backend.leaves.fitting.columns import Float
from pccompiler.torch_backend.leaves.fitting.start import Start
from pccompiler.torch_backend.leaves.fitting.statistics import (
    Estimate,
    Moments,
    Setting,
    Statistics,
)
from pccompiler.torch_backend.leaves.quadrature import Points, gauss
from pccompiler.torch_backend.values import draw_state, ratio, safe_log, surprise


class HistogramLeaf(TorchLeaf):
    """Parameters are the probabilities of bins; the density is uniform in each, 0 elsewhere.

    Constants are lower and upper edges, each of shape (rows, bins, 1), and widths, (rows, 1, bins).
    """

    keyword = "histogram"
    starts_anywhere: ClassVar[bool] = True
    has_constants = True

    def constants(
        self, variables: Sequence[Variable], device: torch.device, dtype: torch.dtype
    ) -> Constants:
        """Edges, rounded like the data, so that a value on an edge stays on it."""
        edges = torch.tensor([v.edges for v in variables], dtype=torch.float64, device="cpu")
        widths = edges.diff(dim=1).unsqueeze(1).to(device, dtype)
        rounded = edges.to(dtype)
        lower, upper = rounded[:, :-1], rounded[:, 1:].clone()
        most = torch.tensor(torch.inf, dtype=dtype, device="cpu")
        upper[:, -1] = torch.nextafter(upper[:, -1], most)  # the last bin includes its upper edge
        return (lower.unsqueeze(2).to(device), upper.unsqueeze(2).to(device), widths)

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """Log of the bin's probability divided by its width."""
        bins = _one_hot(x, units.constants)
        widths = units.constants[2].to(bins.dtype)
        return safe_log(torch.bmm(units.parameters, bins)) - torch.bmm(widths.log(), bins)

    def log_tails(self, x: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        """The mass of the bins below, and of a part of the value's own bin; the rest likewise."""
        lower, upper = (side.unsqueeze(2).to(x.dtype) for side in _sides(units))
        width = upper - lower
        part, rest = ((x - lower) / width).clamp(0.0, 1.0), ((upper - x) / width).clamp(0.0, 1.0)
        return safe_log(units.parameters @ part), safe_log(units.parameters @ rest)

    def draw(self, units: Units, generator: torch.Generator | None) -> Tensor:
        """A bin, and a uniform position in it."""
        chosen = draw_state(units.parameters, generator).unsqueeze(-1)
        low, high = (
            side.unsqueeze(1).expand_as(units.parameters).gather(2, chosen)[..., 0]
            for side in _sides(units)
        )
        place = torch.empty_like(low).uniform_(generator=generator)
        inside = torch.nextafter(high, low)  # the upper edge belongs to the next bin
        return torch.minimum(low + (high - low) * place, inside)

    def mode(self, units: Units) -> Tensor:
        """The middle of a bin with the largest density."""
        lower, upper = _sides(units)
        best = (units.parameters / units.constants[2]).argmax(2)
        return (0.5 * (lower + upper)).gather(1, best)

    def top(self, units: Units) -> Tensor:
        """The maximum over all bins."""
        return (units.parameters / units.constants[2]).amax(2).log()

    def mean(self, units: Units) -> Tensor:
        """The mean, uniform within each bin."""
        return _moment(units, 1)

    def square(self, units: Units) -> Tensor:
        """The mean square, uniform within each bin."""
        return _moment(units, 2)

    def points(self, units: Units) -> Points:
        """Gauss-Legendre quadrature in each bin, exact for polynomials of degree below 64."""
        edges = _edges(units)
        points, weights = gauss(np.polynomial.legendre.leggauss, edges)
        lower, width = edges[:, :-1, None], edges.diff(dim=1)[..., None]
        inside = lower + width * (0.5 * (points + 1.0))
        masses = units.parameters[:, 0, :, None] * (0.5 * weights)
        return Points(inside.flatten(1), masses.flatten(1))

    def panels(self, units: Units) -> Tensor:
        """The bins."""
        return _edges(units)

    def entropy(self, units: Units) -> Tensor:
        """Entropy of the bin plus that of the position in it."""
        masses, widths = units.parameters[:, 0], _edges(units).diff(dim=1)
        return (surprise(masses) + masses * widths.log()).sum(1)

    def inner(self, left: Units, right: Units) -> Tensor:
        """Bin by bin."""
        widths = _edges(left).diff(dim=1)
        return safe_log((left.parameters[:, 0] * right.parameters[:, 0] / widths).sum(1))

    def mean_log(self, left: Units, right: Units) -> tuple[Tensor, Tensor] | None:
        """From the mass of each bin under the left family, if it is known."""
        edges, table = _edges(right), right.parameters[:, 0]
        mass = left.leaf.masses(left, edges)
        if mass is None:
            return None
        mass = mass * (table > 0.0)
        logs = table.masked_fill(table <= 0.0, 1.0).log() - edges.diff(dim=1).log()
        return safe_log(mass.sum(1)), ratio((mass * logs).sum(1), mass.sum(1))

    def mean_distance(self, units: Units, location: Tensor) -> Tensor:
        """The mean distance, uniform within each bin."""
        edges = _edges(units)
        away = edges - location[:, None]
        areas = 0.5 * (away * away.abs()).diff(dim=1) / edges.diff(dim=1)
        return (units.parameters[:, 0] * areas).sum(1)

    def masses(self, units: Units, edges: Tensor) -> Tensor:
        """The bins' masses: all histograms over a variable have the same edges."""
        return units.parameters[:, 0]

    def start(self, start: Start, size: int) -> Float:
        """A mixture of frequencies, the unit's own bin, and noise."""
        return start.shares(size)

    def statistics(self, setting: Setting) -> Statistics:
        """Rows in each bin."""
        return _Bins(setting)


class _Bins(Moments):
    def prior(self) -> Tensor:
        """One row spread evenly over the bins."""
        group = self.setting.group
        return self.setting.fact(lambda _: 1.0).expand(-1, group.columns) / group.columns

    def features(self, x: Tensor, index: Tensor, constants: Constants) -> Tensor:
        """One-hot bins."""
        return _one_hot(x.to(constants[0].dtype), constants).double()

    def solve(self, found: Tensor, totals: Tensor) -> Estimate:
        """Relative frequencies."""
        rows = totals.sum(2, keepdim=True)
        return Estimate(totals / rows, rows)


def _one_hot(column: Tensor, constants: Constants) -> Tensor:
    """One-hot bins, shape (rows, bins, batch), all zeros outside of them."""
    lower, upper, _ = constants
    return ((column >= lower) & (column < upper)).to(column.dtype)


def _sides(units: Units) -> tuple[Tensor, Tensor]:
    """Lower and upper edges of the bins, each of shape (rows, bins)."""
    lower, _, widths = units.constants
    return lower[..., 0], lower[..., 0] + widths[:, 0]


def _edges(units: Units) -> Tensor:
    """Edges of the bins in the parameters' precision, shape (rows, bins + 1)."""
    lower, _, widths = units.constants
    first = lower[..., 0].to(units.parameters)
    return torch.cat([first, first[:, -1:] + widths[:, 0, -1:].to(first)], dim=1)


def _moment(units: Units, power: int) -> Tensor:
    """Mean of ``x ** power``, shape (rows, units)."""
    lower, upper = _sides(units)
    sides = [lower**i * upper ** (power - i) for i in range(power + 1)]
    inside = torch.stack(sides).mean(0)
    return (units.parameters * inside.unsqueeze(1)).sum(2)
