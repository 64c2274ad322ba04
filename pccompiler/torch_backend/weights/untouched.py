"""Which parameters have been neither trained nor set since they were drawn."""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.torch_backend.weights.draws import draws
from pccompiler.torch_backend.weights.weights import Weights


@torch.no_grad()
def drawn(weights: Weights) -> dict[int, Tensor]:
    """For each group with its own parameters, which weights are still as they were drawn.

    Shape ``(weights,)``, on the CPU. Empty if the seed is unknown, as for parameters saved by an
    earlier version saved.
    """
    if weights.seed is None:
        return {}
    numbers = dict(draws(weights.plan, weights.layout.shapes, weights.seed))
    found: dict[int, Tensor] = {}
    for number, group in enumerate(weights.plan.groups):
        if not group.generated:
            name = parameter_name(weights.plan, number)
            same = weights.values[name].cpu().float() == numbers[name].float()
            found[number] = same.flatten(1).all(1)
    return found
