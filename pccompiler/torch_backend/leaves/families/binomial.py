"""Binomial leaves; the number of trials is the variable's number of states minus one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir import Variable
from pccompiler.torch_backend.leaves.base import LEAST_LOG_DENSITY, Constants, TorchLeaf, Units
from pccompiler.torch_backend.leaves.fitting.columns import LEAST_CHANCE, Float
from pccompiler.torch_backend.leaves.fitting.start import Start
from pccompiler.torch_backend.leaves.fitting.statistics import (
    Estimate,
    Moments,
    Setting,
    Statistics,
)


class BinomialLeaf(TorchLeaf):
    """Parameters are the log-probabilities of failure and success."""

    keyword = "binomial"
    starts_anywhere: ClassVar[bool] = True
    has_constants = True

    def constants(
        self, variables: Sequence[Variable], device: torch.device, dtype: torch.dtype
    ) -> Constants:
        """Trials, shape (rows, 1, 1), in float64."""
        last = [v.cardinality - 1.0 for v in variables]
        trials = torch.tensor(last, dtype=torch.float64, device="cpu")
        return (trials.view(-1, 1, 1).to(device),)

    def log_density(self, x: Tensor, units: Units) -> Tensor:
        """In float64, since large terms cancel for large counts."""
        counts, trials = x.double(), units.constants[0]
        features = torch.cat([trials - counts, counts], dim=1)
        ways = (trials + 1.0).lgamma() - (features + 1.0).lgamma().sum(1, keepdim=True)
        table = units.parameters.double().clamp_min(LEAST_LOG_DENSITY)
        return torch.bmm(table, features) + ways

    def start(self, start: Start, size: int) -> Float:
        """Between the column's success rate and that of the unit's own value."""
        columns = start.columns
        trials = np.array([v.cardinality - 1.0 for v in columns.variables])[start.variables]
        own = (start.values + 0.5) / (trials + 1.0)
        chance = start.between(start.fact(columns.chance), own, 0.7)
        logit = np.log(chance) - np.log1p(-chance)
        logit += 0.1 * start.apart * start.rng.standard_normal(logit.shape)
        return np.asarray(1.0 / (1.0 + np.exp(-logit)))[:, :, None]

    def statistics(self, setting: Setting) -> Statistics:
        """Trials and successes."""
        return _Successes(setting)


class _Successes(Moments):
    def prior(self) -> Tensor:
        """One trial at the column's success rate."""
        chance = self.setting.fact(self.setting.columns.chance)
        return torch.cat([torch.ones_like(chance), chance], dim=1)

    def features(self, x: Tensor, index: Tensor, constants: Constants) -> Tensor:
        """Trials and successes."""
        return torch.cat([constants[0].expand_as(x), x], dim=1)

    def solve(self, found: Tensor, totals: Tensor) -> Estimate:
        """Successes divided by trials."""
        rows, mean = totals[..., :1], totals[..., 1:] / totals[..., :1]
        return Estimate(mean.clamp(LEAST_CHANCE, 1.0 - LEAST_CHANCE), rows)
