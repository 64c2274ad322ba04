"""Setting parameters by what they mean: probabilities, means, rates."""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.weights.supports import SIMPLEX


@torch.no_grad()
def assign(model: CompiledCircuit, group: int, values: Tensor, rows: Tensor | None = None) -> None:
    """Make ``values`` the weights of a group that is not generated.

    Exact unless a probability is below the generator's floor, which then takes its place.

    Args:
        model: Changed in place.
        group: Number of the group in the plan.
        values: Shape ``(weights, rows, columns)``, as `pccompiler.ir.Family` has them, or mixture
            weights; float64.
        rows: Places in the group that ``values`` are for; ``None``: all.
    """
    entry = model.plan.groups[group]
    owner = SIMPLEX if entry.is_sum else leaf_of(entry.owner)
    raw = owner.unconstrain(values, model.plan.floor)
    parameter = model.weights.values[parameter_name(model.plan, group)]
    if rows is None:
        parameter.copy_(raw)
    else:
        parameter[rows.to(parameter.device)] = raw.to(parameter)
