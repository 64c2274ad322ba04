"""Sets parameters by their meaning: probabilities, means, rates."""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.weights.supports import SIMPLEX


@torch.no_grad()
def assign(model: CompiledCircuit, group: int, values: Tensor, rows: Tensor | None = None) -> None:
    """Set the weights of a group that is not generated to ``values``.

    Exact unless a probability is below the generator's floor, which then replaces it.

    Args:
        model: Changed in place.
        group: Number of the group in the plan.
        values: Shape ``(weights, rows, columns)``, as `pccompiler.ir.Family` defines them, or
            mixture weights; float64.
        rows: Positions in the group that ``values`` are for; ``None`` for all.
    """
    entry = model.plan.groups[group]
    owner = SIMPLEX if entry.is_sum else leaf_of(entry.owner)
    raw = owner.unconstrain(values, model.plan.floor)
    parameter = model.weights.values[parameter_name(model.plan, group)]
    if rows is None:
        parameter.copy_(raw)
    else:
        parameter[rows.to(parameter.device)] = raw.to(parameter)
