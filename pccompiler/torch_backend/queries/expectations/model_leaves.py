"""Leaves of a model with their current parameters, as expectations need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pccompiler.ir import Family
from pccompiler.torch_backend.engines.arena.tables import tables_by_layer
from pccompiler.torch_backend.leaves.moments import Leaves

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator
    from pccompiler.torch_backend.leaves.inputs import LeafLayer


def model_leaves(model: Evaluator) -> dict[int, Leaves]:
    """The leaves of each input layer, row by row and unit by unit, differentiable."""
    return leaves_of(model, *model.weights())


def leaves_of(
    model: Evaluator, weights: list[Tensor], given: dict[int, Tensor]
) -> dict[int, Leaves]:
    """As `model_leaves`, from weights that are there already."""
    tables = tables_by_layer(model.plan, weights)
    found: dict[int, Leaves] = {}
    for layer in model.leaf_inputs.layers:
        own = tables.get(layer.number)
        parameters = given.get(layer.number) if own is None else own[0]
        found[layer.number] = _leaves(model, layer, parameters)
    return found


def _leaves(model: Evaluator, layer: LeafLayer, parameters: Tensor | None) -> Leaves:
    rows = model.plan.layers[layer.number].rows
    if parameters is None:
        units = model.plan.layers[layer.number].units
        eye = torch.eye(units, dtype=torch.float64, device=model.device).repeat(rows, 1)
        return Leaves(layer.family, eye, eye)
    flat = parameters.double().flatten(0, 1)
    if layer.family.tabular:
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
