"""Statistics that the M-step gathers for a group of leaves, and the estimates from them.

An estimate comes with the (expected) number of rows that it is based on, pseudocounts included, for
each unit; `TorchLeaf.blend` then goes part of the way from the old parameters to the new.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.leaves.fitting.columns import Columns

TENTH = 0.1
"""Spread of the leaves' prior rows, relative to their column's."""


class Estimate(NamedTuple):
    """New parameters, shape (weights, units, columns), and their rows, (weights, units, 1)."""

    values: Tensor
    rows: Tensor


class Setting(NamedTuple):
    """A group of leaves: its layers' weights, and the pool of data for each weight."""

    plan: Plan
    group: WeightGroup
    columns: Columns
    pools: Int
    device: torch.device

    def fact(self, of: Callable[[int], float]) -> Tensor:
        """``of`` applied to each weight's pool, shape ``(weights, 1)``, float64."""
        known = {pool: of(pool) for pool in set(self.pools.tolist())}
        values = torch.tensor(
            [[known[pool]] for pool in self.pools.tolist()], dtype=torch.float64, device="cpu"
        )
        return values.to(self.device)

    def places(self, layer: int) -> Tensor:
        """Position in the group of each row's weight."""
        index = self.plan.layers[layer].index
        if index is None:
            raise AssertionError("a leaf layer without weights")  # pragma: no cover
        return torch.from_numpy(index.copy()).to(self.device)


class Statistics(ABC):
    """Statistics gathered for the leaves of one group.

    Attributes:
        capturable: Whether the host never has to wait for results, so that a CUDA graph can capture
            gathering and estimating.
    """

    capturable: ClassVar[bool] = False

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    @abstractmethod
    def clear(self) -> None:
        """Reset the statistics."""

    @abstractmethod
    def add(
        self, layer: int, column: Tensor, shares: Tensor, constants: tuple[Tensor, ...]
    ) -> None:
        """Add the statistics of one batch.

        Args:
            layer: Number of the layer.
            column: Values, shape (rows, 1, batch), NaN where missing.
            shares: Each unit's responsibility, shape (rows, units, batch); 0 where missing.
            constants: Constants of the layer, as returned by `TorchLeaf.constants`.
        """

    @abstractmethod
    def estimate(self, old: Tensor, scale: float | Tensor, pseudocount: float) -> Estimate:
        """Estimate parameters.

        Args:
            old: The current parameters, shape (weights, units, columns), as in the IR.
            scale: Factor for the gathered statistics.
            pseudocount: Number of prior rows of each unit.
        """


class Moments(Statistics):
    """Statistics of families that only need weighted sums of features of a value."""

    capturable = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        prior = self.prior()
        self.before = prior.unsqueeze(1)  # (weights, 1, features)
        shape = (len(setting.group.weights), setting.group.rows, prior.shape[1])
        self.totals = torch.zeros(shape, dtype=torch.float64, device=setting.device)
        self._index: dict[int, Tensor] = {}

    @abstractmethod
    def prior(self) -> Tensor:
        """Features of one prior row, shape (weights, features)."""

    @abstractmethod
    def features(self, x: Tensor, index: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Shape (rows, features, batch); the first sums to the rows, or trials, of the estimate.

        Args:
            x: Shape (rows, 1, batch), float64, without missing values.
            index: Position in the group of each row's weight.
            constants: Constants of the layer.
        """

    @abstractmethod
    def solve(self, found: Tensor, totals: Tensor) -> Estimate:
        """Parameters from sums of features, without and with the prior rows."""

    def clear(self) -> None:
        """Reset the statistics."""
        self.totals.zero_()

    def add(
        self, layer: int, column: Tensor, shares: Tensor, constants: tuple[Tensor, ...]
    ) -> None:
        """Add weighted features, summed in float64."""
        if layer not in self._index:
            self._index[layer] = self.setting.places(layer)
        index = self._index[layer]
        features = self.features(column.nan_to_num().double(), index, constants)
        found = torch.bmm(shares.double(), features.transpose(1, 2))
        self.totals.index_add_(0, index, found)

    def estimate(self, old: Tensor, scale: float | Tensor, pseudocount: float) -> Estimate:
        """Parameters from sums of features."""
        found = scale * self.totals
        return self.solve(found, found + pseudocount * self.before)


class Counts(Moments):
    """Statistics of families over counts that only need rows and sums."""

    def prior(self) -> Tensor:
        """One row at the column's mean."""
        mean = self.setting.fact(self.setting.columns.rate)
        return torch.cat([torch.ones_like(mean), mean], dim=1)

    def features(self, x: Tensor, index: Tensor, constants: tuple[Tensor, ...]) -> Tensor:
        """Rows and counts."""
        return torch.cat([torch.ones_like(x), x], dim=1)
