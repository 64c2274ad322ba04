"""Negative binomial leaves."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, NegativeBinomial

from pccompiler.torch_backend.leaves.base import LEAST_LOG_DENSITY, TorchLeaf, Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf
from pccompiler.torch_backend.leaves.fitting.cells import CellStatistics, SomeWeights
from pccompiler.torch_backend.leaves.fitting.columns import LEAST_RATE
from pccompiler.torch_backend.leaves.fitting.profile import root
from pccompiler.torch_backend.leaves.fitting.statistics import Setting, Statistics
from pccompiler.torch_backend.leaves.tails import log_beta_tails

LEAST_SUCCESSES = 1e-6
MOST_SUCCESSES = 1e3
"""In an M-step, relative to the mean, or to 1 if that is larger.

The variance is then at least 1.001 times the mean. Counts of less variance than that would have the
limit, a Poisson distribution.
"""


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
        won = successes * log_success.clamp_min(LEAST_LOG_DENSITY)
        won = won.masked_fill(log_success == -torch.inf, LEAST_LOG_DENSITY)
        gain = won + counts * log_failure.clamp_min(LEAST_LOG_DENSITY)
        found: Tensor = ways - torch.lgamma(counts + 1.0) + gain
        return found

    def log_tails(self, x: Tensor, units: Units) -> tuple[Tensor, Tensor]:
        """The regularised incomplete beta functions."""
        successes, log_failure, log_success = units.parameters.split(1, dim=-1)
        return log_beta_tails(successes, x + 1.0, log_success, log_failure)

    def mode(self, units: Units) -> Tensor:
        """Zero up to one success, else below the mean."""
        successes, log_failure, log_success = units.parameters.unbind(-1)
        place = (successes - 1.0).clamp_min(0.0) * (log_failure - log_success).exp()
        return place.floor()

    def statistics(self, setting: Setting) -> Statistics:
        """The mass on each count."""
        return _Counts(setting)

    def blend(self, old: Tensor, new: Tensor, part: Tensor) -> Tensor:
        """Linear in the mean and the mean square, hence in the variance's excess over the mean."""
        (first, least), (mean, excess) = _mean_and_excess(old), _mean_and_excess(new)
        away = mean - first
        middle = first + part * away
        apart = part * (1.0 - part) * away.square()
        successes = middle.square() / (least + part * (excess - least) + apart)
        between = torch.cat([successes, successes / (successes + middle)], dim=-1)
        return old.where(part <= 0.0, new.where(part >= 1.0, between))


def _mean_and_excess(values: Tensor) -> tuple[Tensor, Tensor]:
    successes, p = values.split(1, dim=-1)
    mean = successes * (1.0 - p) / p
    return mean, mean.square() / successes


class _Counts(CellStatistics):
    def solve(self, some: SomeWeights, pseudocount: float) -> tuple[Tensor, Tensor]:
        """Maximises over the successes; given these, the mean is that of the counts.

        Source:
            Aragon, Eberly and Eberly (1992), "Existence and uniqueness of the maximum likelihood
            estimator for the two-parameter negative binomial distribution".
        """
        mass = some.mass_with_prior(pseudocount)
        mass = mass / mass.sum(2, keepdim=True).clamp_min(1e-300)
        points = some.points.unsqueeze(1)
        mean = (mass * points).sum(2).clamp_min(LEAST_RATE)

        def score(successes: Tensor) -> Tensor:
            # digamma(x + r) - digamma(r), less log(1 + mean / r)
            place = successes.unsqueeze(2)
            gain = torch.digamma(points + place) - torch.digamma(place)
            return (mass * gain).sum(2) - torch.log1p(mean / successes)

        most = MOST_SUCCESSES * mean.clamp_min(1.0)
        successes = root(score, torch.full_like(mean, LEAST_SUCCESSES), most)
        p = successes / (successes + mean)
        return torch.stack([successes, p], dim=2), some.mass.sum(2)
