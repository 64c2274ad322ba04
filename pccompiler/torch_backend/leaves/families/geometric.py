"""Geometric leaves."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Geometric

from pccompiler.torch_backend.leaves.base import LEAST_LOG_DENSITY, TorchLeaf, Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf


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

    def mode(self, units: Units) -> Tensor:
        """Zero."""
        return torch.zeros_like(units.parameters[..., 0])
