"""Leaves of a model with their current parameters, as expectations need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pccompiler.torch_backend.engines.arena.tables import tables_by_layer
from pccompiler.torch_backend.leaves.base import Units

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator


def leaves_of(
    model: Evaluator, weights: list[Tensor], given: dict[int, Tensor]
) -> dict[int, Units]:
    """The leaves of each input layer, each unit as its own row, in float64; differentiable.

    Args:
        model: A compiled circuit.
        weights: As returned by its ``weights``, like ``given``.
        given: Input layer to parameters of leaves without tables.
    """
    tables = tables_by_layer(model.plan, weights)
    found: dict[int, Units] = {}
    for layer in model.leaf_inputs.layers:
        own = tables.get(layer.number)
        parameters = given.get(layer.number) if own is None else own[0]
        if parameters is None:  # indicators
            plan_layer = model.plan.layers[layer.number]
            eye = torch.eye(plan_layer.units, dtype=torch.float64, device=model.device)
            parameters = eye.expand(plan_layer.rows, -1, -1)
        found[layer.number] = layer.units(parameters.double()).apart()
    return found
