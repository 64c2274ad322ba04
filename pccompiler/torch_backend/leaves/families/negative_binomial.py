"""Negative binomial leaves."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, NegativeBinomial

from pccompiler.torch_backend.leaves.base import LEAST_LOG_DENSITY, TorchLeaf, Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf


class NegativeBinomialLeaf(DistributionLeaf):
    """The number of successes, and the logarithms of the probabilities of failure and success."""

    infinite_moments = False
    constrain = TorchLeaf.constrain

    def __init__(self) -> None:
        super().__init__("negative_binomial", NegativeBinomial)

    def of(self, units: Units) -> Distribution:
        """Torch counts successes before failures: with the words exchanged."""
        successes, log_failure, log_success = units.parameters.split(1, dim=-1)
        logits = log_failure - log_success
        return NegativeBinomial(successes, logits=logits, validate_args=False)

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """In float64: large terms cancel."""
        successes, log_failure, log_success = torch.split(units.parameters.double(), 1, dim=-1)
        counts = x.double()
        ways = torch.lgamma(counts + successes) - torch.lgamma(successes)
        gain = successes * log_success + counts * log_failure.clamp_min(LEAST_LOG_DENSITY)
        found: Tensor = ways - torch.lgamma(counts + 1.0) + gain
        return found

    def mode(self, units: Units) -> Tensor:
        """Zero up to one success, else below the mean."""
        successes, log_failure, log_success = units.parameters.unbind(-1)
        place = (successes - 1.0).clamp_min(0.0) * (log_failure - log_success).exp()
        return place.floor()
