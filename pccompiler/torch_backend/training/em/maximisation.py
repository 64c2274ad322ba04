"""The maximisation step, family by family: from expected counts to parameters.

Every family answers with an estimate and the (expected, pseudocounts included) number of rows that
it rests on, unit by unit. `blend` then goes part of the way from the old parameters to the new.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir import Family
from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.leaves.inputs import LeafLayer
from pccompiler.torch_backend.training.column_statistics import LEAST_CHANCE, LEAST_RATE, Columns
from pccompiler.torch_backend.training.em.medians import Cells, medians

TENTH = 0.1
"""Spread of the rows that Gaussian and Laplace leaves have seen beforehand, by their column's."""


class Estimate(NamedTuple):
    """New parameters, shape (weights, units, columns), and their rows, (weights, units, 1)."""

    values: Tensor
    rows: Tensor


class Setting(NamedTuple):
    """A group of leaves: its layers' weights, and the pool of data that each weight is over."""

    plan: Plan
    group: WeightGroup
    columns: Columns
    pools: Int
    device: torch.device

    def fact(self, of: Callable[[int], float]) -> Tensor:
        """``of`` each weight's pool, shape ``(weights, 1)``, float64."""
        known = {pool: of(pool) for pool in set(self.pools.tolist())}
        values = torch.tensor(
            [[known[pool]] for pool in self.pools.tolist()], dtype=torch.float64, device="cpu"
        )
        return values.to(self.device)

    def places(self, layer: int) -> Tensor:
        """Place in the group of each row's weight."""
        index = self.plan.layers[layer].index
        if index is None:
            raise AssertionError("a leaf layer without weights")  # pragma: no cover
        return torch.from_numpy(index.copy()).to(self.device)


class Statistics(ABC):
    """What the leaves of one group have gathered."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    @abstractmethod
    def clear(self) -> None:
        """Forget all."""

    @abstractmethod
    def add(self, layer: LeafLayer, column: Tensor, shares: Tensor) -> None:
        """Add responsibilities, shape (rows, units, batch), for values of (rows, 1, batch)."""

    @abstractmethod
    def estimate(self, scale: float, pseudocount: float) -> Estimate:
        """Parameters; what was gathered counts ``scale`` times."""


class Moments(Statistics):
    """Families that need weighted sums of features of a value."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        group = setting.group
        self.owner = Family[group.owner.upper()]
        self.least = setting.fact(setting.columns.least)
        self.centre = setting.fact(lambda pool: setting.columns.spread(pool)[0])
        self.spread = setting.fact(lambda pool: setting.columns.spread(pool)[1])
        prior = self._prior()
        self.prior = prior.unsqueeze(1)  # (weights, 1, features)
        shape = (len(group.weights), group.rows, prior.shape[1])
        self.totals = torch.zeros(shape, dtype=torch.float64, device=setting.device)
        self._index: dict[int, Tensor] = {}

    def _prior(self) -> Tensor:
        """Features of a row that was seen beforehand, shape (weights, features)."""
        setting, one = self.setting, torch.ones_like(self.centre)
        if self.owner == Family.GAUSSIAN:
            return torch.cat([one, 0.0 * one, TENTH**2 * one], dim=1)
        if self.owner == Family.POISSON:
            return torch.cat([one, setting.fact(setting.columns.rate)], dim=1)
        if self.owner == Family.BINOMIAL:
            return torch.cat([one, setting.fact(setting.columns.chance)], dim=1)
        return one.expand(-1, setting.group.columns) / setting.group.columns

    def clear(self) -> None:
        """Forget all."""
        self.totals.zero_()

    def add(self, layer: LeafLayer, column: Tensor, shares: Tensor) -> None:
        """Add weighted features, summed up in float64."""
        if layer.number not in self._index:
            self._index[layer.number] = self.setting.places(layer.number)
        index = self._index[layer.number]
        features = self._features(layer, column.nan_to_num().double(), index)
        found = torch.bmm(shares.double(), features.transpose(1, 2))
        self.totals.index_add_(0, index, found)

    def _features(self, layer: LeafLayer, x: Tensor, index: Tensor) -> Tensor:
        """Shape (rows, features, batch)."""
        if self.owner == Family.GAUSSIAN:
            centre, spread = self.centre[index].unsqueeze(1), self.spread[index].unsqueeze(1)
            scaled = (x - centre) / spread
            return torch.cat([torch.ones_like(x), scaled, scaled.square()], dim=1)
        if self.owner == Family.POISSON:
            return torch.cat([torch.ones_like(x), x], dim=1)
        if self.owner == Family.BINOMIAL:
            return torch.cat([layer.constants[0].expand_as(x), x], dim=1)
        return layer.bins(x.to(layer.constants[0].dtype)).double()

    def estimate(self, scale: float, pseudocount: float) -> Estimate:
        """Parameters from moments."""
        totals = scale * self.totals + pseudocount * self.prior
        if self.owner == Family.HISTOGRAM:
            rows = totals.sum(2, keepdim=True)
            return Estimate(totals / rows, rows)
        if self.owner == Family.GAUSSIAN:
            return self._gaussian(scale * self.totals, totals)
        rows, mean = totals[..., :1], totals[..., 1:] / totals[..., :1]
        if self.owner == Family.POISSON:
            return Estimate(mean.clamp_min(LEAST_RATE), rows)
        return Estimate(mean.clamp(LEAST_CHANCE, 1.0 - LEAST_CHANCE), rows)

    def _gaussian(self, found: Tensor, totals: Tensor) -> Estimate:
        """Rows seen beforehand lie about each unit's own mean."""
        rows, mean = found[..., :1], found[..., 1:2] / found[..., :1]
        squares = (totals[..., 2:] - rows * mean.square()).clamp_min(0.0)
        spread, least = self.spread.unsqueeze(1), self.least.unsqueeze(1)
        deviation = ((squares / totals[..., :1]).sqrt() * spread).maximum(least)
        return Estimate(torch.cat([self.centre.unsqueeze(1) + spread * mean, deviation], 2), rows)


class Medians(Statistics):
    """Laplace leaves."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        columns = setting.columns
        self.distance = setting.fact(lambda pool: columns.distance(pool)[1])
        self.least = setting.fact(columns.least)
        self.cells = {
            number: Cells(
                [columns.observed(v) for v in layer.variables.tolist()], layer.units, setting.device
            )
            for number, layer in enumerate(setting.plan.layers)
            if layer.family == Family.LAPLACE
            and layer.variables is not None
            and setting.plan.groups[layer.group] is setting.group
        }
        self.index = {number: setting.places(number) for number in self.cells}
        places = torch.cat(list(self.index.values()))
        self.shared = torch.bincount(places, minlength=len(setting.group.weights)) > 1

    def clear(self) -> None:
        """Forget all."""
        for cells in self.cells.values():
            cells.mass.zero_()

    def add(self, layer: LeafLayer, column: Tensor, shares: Tensor) -> None:
        """Add to the cells of the layer."""
        self.cells[layer.number].add(column, shares)

    def estimate(self, scale: float, pseudocount: float) -> Estimate:
        """Parameters from medians; weights that leaves share take all their cells."""
        group = self.setting.group
        shape = (len(group.weights), group.rows, 1)
        rows = torch.zeros(shape, dtype=torch.float64, device=self.setting.device)
        values = rows.new_zeros(*shape[:2], 2)
        both = (scale, pseudocount)
        for number, cells in self.cells.items():
            index = self.index[number]
            alone = ~self.shared[index]
            if bool(alone.any()):
                self._put(values, rows, index[alone], cells.values[alone], cells.mass[alone], *both)
        for weight in self.shared.nonzero().flatten().tolist():
            seen = [
                (cells.values[self.index[n] == weight], cells.mass[self.index[n] == weight])
                for n, cells in self.cells.items()
            ]
            points = torch.cat([v.flatten() for v, _ in seen])
            mass = torch.cat([m.transpose(0, 1).flatten(1) for _, m in seen], dim=1)
            place = torch.tensor([weight], device=points.device)
            self._put(values, rows, place, points[None], mass[None], *both)
        return Estimate(values, rows)

    def _put(
        self,
        values: Tensor,
        rows: Tensor,
        place: Tensor,
        points: Tensor,
        mass: Tensor,
        scale: float,
        pseudocount: float,
    ) -> None:
        """Fill in the weights at ``place``; rows seen beforehand lie about each unit's median."""
        middle, distance, total = medians(points, scale * mass)
        distance = distance + pseudocount * TENTH * self.distance[place]
        spread = (distance / (total + pseudocount)).maximum(self.least[place])
        values[place] = torch.stack([middle, spread], dim=2)
        rows[place] = total.unsqueeze(2)


def statistics(setting: Setting) -> Statistics:
    """For the family of the group."""
    laplace = setting.group.owner == Family.LAPLACE.keyword
    return Medians(setting) if laplace else Moments(setting)


def from_counts(group: WeightGroup, counts: Tensor, pseudocount: float) -> Estimate:
    """Sums, Bernoulli and categorical leaves: counts by their sum."""
    spread = counts + pseudocount / counts.shape[-1]
    rows = spread.sum(-1, keepdim=True)
    values = spread / rows
    return Estimate(values[..., 1:] if group.owner == Family.BERNOULLI.keyword else values, rows)


def blend(group: WeightGroup, old: Tensor, new: Tensor, part: Tensor) -> Tensor:
    """``part`` of the way from ``old`` to ``new``; all of the old where there is no part.

    In the mean parameters of each family, so that parts add up as statistics do: of a Gaussian the
    mean and the mean square.
    """
    fresh = torch.where(part > 0.0, new, old)
    if group.owner != Family.GAUSSIAN.keyword:
        return old + part * (fresh - old)
    mean = old[..., :1] + part * (fresh[..., :1] - old[..., :1])
    between = part * (1.0 - part) * (fresh[..., :1] - old[..., :1]).square()
    variance = (1.0 - part) * old[..., 1:].square() + part * fresh[..., 1:].square() + between
    return torch.cat([mean, variance.sqrt()], dim=-1)


def as_tensor(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Tensor:
    """A tensor of its own."""
    return torch.from_numpy(np.array(values, np.float64))
