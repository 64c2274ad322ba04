"""Geometric leaves."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Geometric

from pccompiler.torch_backend.leaves.base import LEAST_LOG_DENSITY, TorchLeaf, Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf
from pccompiler.torch_backend.leaves.fitting.columns import LEAST_RATE
from pccompiler.torch_backend.leaves.fitting.statistics import (
    Counts,
    Estimate,
    Setting,
    Statistics,
)
from pccompiler.torch_backend.leaves.tails import log1m_exp


class GeometricLeaf(DistributionLeaf):
    """Parameters are the log-probabilities of failure and success."""

    infinite_moments = False
    constrain = TorchLeaf.constrain

    def __init__(self) -> None:
        super().__init__("geometric", Geometric)

    def of(self, units: Units) -> Distribution:
        """From the log-probability of success."""
        return Geometric(probs=units.parameters[..., 1:].exp(), validate_args=False)

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """In float64, as for other counts."""
        log_failure, log_success = units.parameters.double().split(1, dim=-1)
        found: Tensor = x.double() * log_failure.clamp_min(LEAST_LOG_DENSITY) + log_success
        return found

    def log_tails(self, x: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        """The count exceeds x if x + 1 trials fail."""
        log_failure = units.parameters[..., :1].clamp_min(LEAST_LOG_DENSITY)
        above = (x + 1.0) * log_failure
        return log1m_exp(above), above

    def mode(self, units: Units) -> Tensor:
        """Zero."""
        return torch.zeros_like(units.parameters[..., 0])

    def mean(self, units: Units) -> Tensor:
        """The odds of a failure, however rare."""
        return (units.parameters[..., 0] - units.parameters[..., 1]).exp()

    def square(self, units: Units) -> Tensor:
        """The mean plus twice its square."""
        mean = self.mean(units)
        return mean + 2.0 * mean.square()

    def statistics(self, setting: Setting) -> Statistics:
        """Rows and failures."""
        return _Failures(setting)

    def blend(self, old: Tensor, new: Tensor, part: Tensor) -> Tensor:
        """Linear in the mean."""
        trials = (1.0 - part) / old.clamp_min(1e-300) + part / new.clamp_min(1e-300)
        return torch.where(part > 0.0, 1.0 / trials, old)


class _Failures(Counts):
    def solve(self, found: Tensor, totals: Tensor) -> Estimate:
        """Successes, of which each row has one, divided by trials."""
        rows, failures = totals.split(1, dim=-1)
        return Estimate(rows / (rows + failures.maximum(LEAST_RATE * rows)), rows)
