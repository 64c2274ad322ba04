"""Gamma leaves."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Gamma, constraints

from pccompiler.errors import CircuitError
from pccompiler.torch_backend.leaves.base import Constants, Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf
from pccompiler.torch_backend.leaves.fitting.columns import LEAST_SPREAD, Columns
from pccompiler.torch_backend.leaves.fitting.profile import root
from pccompiler.torch_backend.leaves.fitting.statistics import (
    Estimate,
    Moments,
    Setting,
    Statistics,
)
from pccompiler.torch_backend.leaves.tails import log_gamma_tails

LEAST_CONCENTRATION = 1e-6


class GammaLeaf(DistributionLeaf):
    """Parameters are the concentration and the rate, as in `torch.distributions`."""

    infinite_moments = False

    def __init__(self) -> None:
        super().__init__("gamma", Gamma, constraints.positive)

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """In float64, since large terms cancel for large concentrations."""
        return super().log_density(x.double(), units.double())

    def log_tails(self, x: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        """The regularised incomplete gamma functions."""
        concentration, rate = units.parameters.split(1, dim=-1)
        positive = x > 0.0
        log_x = rate.log() + x.where(positive, 1.0).log()
        below, above = log_gamma_tails(concentration, log_x)
        return below.masked_fill(~positive, -torch.inf), above.masked_fill(~positive, 0.0)

    def mode(self, units: Units) -> Tensor:
        """``(concentration - 1) / rate``.

        Raises:
            CircuitError: PC133, if the concentration is 1 or less: the density has no maximum.
        """
        concentration, rate = units.parameters.unbind(-1)
        if bool((concentration <= 1.0).any()):
            raise CircuitError.of(
                "PC133",
                "the density of a gamma leaf has no maximum: its concentration is "
                f"{float(concentration.min()):g}",
                help="ask for modes of leaves with concentrations above 1, or give the variable "
                "a value",
            )
        return (concentration - 1.0) / rate

    def entropy(self, units: Units) -> Tensor:
        """In closed form."""
        found: Tensor = self.of(units).entropy()[:, 0, 0]
        return found

    def statistics(self, setting: Setting) -> Statistics:
        """Rows, sums and sums of logarithms."""
        return _Logarithms(setting)

    def blend(self, old: Tensor, new: Tensor, part: Tensor) -> Tensor:
        """Linear in the mean and the mean logarithm."""
        first, last = _mean_and_log(old), _mean_and_log(new)
        mean, log = (first + part * (last - first)).split(1, dim=-1)
        shape = _concentration(mean.log() - log, torch.maximum(old, new)[..., :1])
        between = torch.cat([shape, shape / mean], dim=-1)
        return old.where(part <= 0.0, new.where(part >= 1.0, between))


def _mean_and_log(values: Tensor) -> Tensor:
    concentration, rate = values.split(1, dim=-1)
    return torch.cat([concentration / rate, torch.digamma(concentration) - rate.log()], dim=-1)


def _concentration(gap: Tensor, most: Tensor) -> Tensor:
    """At most ``most``, from the logarithm of the mean less the mean logarithm."""
    return root(
        lambda place: place.log() - torch.digamma(place) - gap,
        torch.full_like(gap, LEAST_CONCENTRATION).minimum(most),
        most.expand_as(gap),
    )


def most_concentration(columns: Columns, pool: int) -> float:
    """The largest concentration in an M-step, since that of a single value would be infinite.

    A deviation is at least 0.001 of the mean, or 0.1 of the column's, whichever is smaller.
    """
    mean, _ = columns.spread(pool)
    return max(1.0 / LEAST_SPREAD, mean / (100.0 * columns.least(pool))) ** 2


class _Logarithms(Moments):
    """The logarithms are of values divided by the column's mean."""

    def __init__(self, setting: Setting) -> None:
        columns = setting.columns
        self.size = setting.fact(lambda pool: self._mean(columns, pool))
        super().__init__(setting)
        most = setting.fact(lambda pool: most_concentration(columns, pool))
        self.most = most.unsqueeze(1)

    @staticmethod
    def _mean(columns: Columns, pool: int) -> float:
        values = columns.observed(pool)
        return float(values[values > 0.0].mean()) if (values > 0.0).any() else 1.0

    def prior(self) -> Tensor:
        """One row, distributed as the column; an exponential distribution without data."""

        def log(pool: int) -> float:
            values = self.setting.columns.observed(pool)
            known = values[values > 0.0]
            return (
                float(np.log(known / known.mean()).mean()) if len(known) else -float(np.euler_gamma)
            )

        one = torch.ones_like(self.size)
        return torch.cat([one, one, self.setting.fact(log)], dim=1)

    def features(self, x: Tensor, index: Tensor, constants: Constants) -> Tensor:
        """Rows, values and logarithms; values that are not positive are nobody's."""
        scaled = x / self.size[index].unsqueeze(1)
        logs = scaled.where(x > 0.0, 1.0).log()
        return torch.cat([torch.ones_like(x), scaled, logs], dim=1)

    def solve(self, found: Tensor, totals: Tensor) -> Estimate:
        """The rate is the concentration divided by the mean, whatever the concentration."""
        rows = totals[..., :1]
        mean, log = totals[..., 1:2] / rows, totals[..., 2:] / rows
        concentration = _concentration(mean.log() - log, self.most)
        rate = concentration / (mean * self.size.unsqueeze(1))
        return Estimate(torch.cat([concentration, rate], dim=-1), rows)
