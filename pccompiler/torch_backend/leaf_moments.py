"""Leaf distributions as points with masses, from which expectations of leaf functions follow.

Families over finitely many states have their states. Real families have the points of a Gaussian
quadrature, which is exact for polynomials of degree below 64 in each piece (Gauss and Hermite for
normal leaves, Gauss and Laguerre on both sides of Laplace leaves, Gauss and Legendre in each bin of
a histogram). Poisson leaves have the counts within ``12 sqrt(rate) + 40`` of their rate: what lies
outside has a mass below 1e-20.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir import Family
from pccompiler.ir.kinds import TABLES
from pccompiler.torch_backend.tables import tables_of

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator
    from pccompiler.torch_backend.leaves import LeafLayer

_ORDER = 32
"""Points of a quadrature."""


@dataclass(frozen=True, eq=False)
class Leaves:
    """Units of one family, in float64.

    Attributes:
        family: Their family.
        parameters: Shape (units, columns): as `constrain` gives them (Poisson: log rate).
        table: Shape (units, states), of families over finitely many states.
        edges: Shape (units, bins + 1), of histograms.
    """

    family: Family
    parameters: Tensor
    table: Tensor | None = None
    edges: Tensor | None = None

    def pick(self, index: Tensor) -> Leaves:
        """Some of the units."""
        table = None if self.table is None else self.table.index_select(0, index)
        edges = None if self.edges is None else self.edges.index_select(0, index)
        chosen = self.parameters.index_select(0, index)
        return replace(self, parameters=chosen, table=table, edges=edges)

    def points(self) -> tuple[Tensor, Tensor]:
        """Points and their masses, each of shape (units, points)."""
        if self.table is None:
            return _POINTS[self.family](self)
        states = torch.arange(self.table.shape[1], device=self.table.device)
        return states.to(self.table).expand_as(self.table), self.table


def model_leaves(model: Evaluator) -> dict[int, Leaves]:
    """The leaves of each input layer, row by row and unit by unit, differentiable."""
    return leaves_of(model, *model.weights())


def leaves_of(
    model: Evaluator, weights: list[Tensor], given: dict[int, Tensor]
) -> dict[int, Leaves]:
    """As `model_leaves`, from weights that are there already."""
    inputs = model.leaf_inputs(model.nothing(1), given)
    tables = tables_of(model.plan, model.program, inputs, weights)
    found: dict[int, Leaves] = {}
    for layer in model.leaf_inputs.layers:
        parameters = given.get(layer.number, tables.dense.get(layer.number))
        found[layer.number] = _leaves(model, layer, parameters)
    return found


def _leaves(model: Evaluator, layer: LeafLayer, parameters: Tensor | None) -> Leaves:
    rows = model.plan.layers[layer.number].rows
    if parameters is None:
        units = model.plan.layers[layer.number].units
        eye = torch.eye(units, dtype=torch.float64, device=model.device).repeat(rows, 1)
        return Leaves(layer.family, eye, eye)
    flat = parameters.double().flatten(0, 1)
    if layer.family in TABLES:
        return Leaves(layer.family, flat, flat)
    if layer.family == Family.BINOMIAL:
        return Leaves(layer.family, flat, _binomial_table(layer, parameters).flatten(0, 1))
    if layer.family == Family.HISTOGRAM:
        lower, _, widths = layer.constants
        first = lower[..., 0].double()
        edges = torch.cat([first, first[:, -1:] + widths[:, 0, -1:].double()], dim=1)
        edges = edges.repeat_interleave(parameters.shape[1], 0)
        return Leaves(layer.family, flat, edges=edges)
    return Leaves(layer.family, flat)


def _binomial_table(layer: LeafLayer, parameters: Tensor) -> Tensor:
    """State probabilities, shape (rows, units, states); 0 beyond a row's own trials."""
    trials = layer.constants[0]
    states = torch.arange(int(trials.max()) + 1, dtype=torch.float64, device=trials.device)
    column = states.view(1, 1, -1).expand(len(parameters), 1, -1)
    logs = layer.log_density(torch.minimum(column, trials), parameters, exact=True)
    return logs.exp().masked_fill(column > trials, 0.0)


def leaf_moments(model: Evaluator, order: int) -> dict[int, Tensor]:
    """``E[x ** order]`` of every leaf, by input layer, each of shape (rows, units), in float64.

    Args:
        model: A compiled circuit.
        order: From 0 on; exact, up to rounding, to 62.
    """
    found: dict[int, Tensor] = {}
    for number, leaves in model_leaves(model).items():
        points, masses = leaves.points()
        mean = (masses * points**order).sum(1)
        found[number] = mean.view(model.plan.layers[number].rows, -1)
    return found


def _gauss(rule: Callable[[int], tuple[object, object]], like: Tensor) -> tuple[Tensor, Tensor]:
    """A quadrature's points and weights."""
    points, weights = rule(_ORDER)
    return torch.as_tensor(np.asarray(points)).to(like), torch.as_tensor(np.asarray(weights)).to(
        like
    )


def _gaussian(leaves: Leaves) -> tuple[Tensor, Tensor]:
    mean, deviation = leaves.parameters.split(1, dim=1)
    points, weights = _gauss(np.polynomial.hermite_e.hermegauss, mean)
    masses = (weights / weights.sum()).expand(len(mean), -1)
    return mean + deviation * points, masses


def _laplace(leaves: Leaves) -> tuple[Tensor, Tensor]:
    location, scale = leaves.parameters.split(1, dim=1)
    points, weights = _gauss(np.polynomial.laguerre.laggauss, location)
    both = torch.cat([-points.flip(0), points])
    masses = 0.5 * torch.cat([weights.flip(0), weights]).expand(len(location), -1)
    return location + scale * both, masses


def _histogram(leaves: Leaves) -> tuple[Tensor, Tensor]:
    edges = edges_of(leaves)
    points, weights = _gauss(np.polynomial.legendre.leggauss, edges)
    lower, width = edges[:, :-1, None], edges.diff(dim=1)[..., None]
    inside = lower + width * (0.5 * (points + 1.0))
    masses = leaves.parameters[..., None] * (0.5 * weights)
    return inside.flatten(1), masses.flatten(1)


def _poisson(leaves: Leaves) -> tuple[Tensor, Tensor]:
    log_rate = leaves.parameters[:, :1]
    rate = log_rate.detach().exp()
    reach = 12.0 * rate.sqrt() + 40.0
    first = (rate - reach).floor().clamp_min(0.0)
    number = int((rate + reach - first).max().ceil()) + 1 if len(rate) else 1
    counts = first + torch.arange(number, dtype=rate.dtype, device=rate.device)
    bounded = log_rate.clamp_min(-1e30)  # 0 times it is 0
    logs = counts * bounded - log_rate.exp() - torch.lgamma(counts + 1.0)
    return counts, logs.exp()


def edges_of(leaves: Leaves) -> Tensor:
    """Edges of histograms, shape (units, bins + 1)."""
    if leaves.edges is None:
        raise AssertionError("only histograms have edges")  # pragma: no cover
    return leaves.edges


_POINTS: dict[Family, Callable[[Leaves], tuple[Tensor, Tensor]]] = {
    Family.GAUSSIAN: _gaussian,
    Family.LAPLACE: _laplace,
    Family.HISTOGRAM: _histogram,
    Family.POISSON: _poisson,
}
