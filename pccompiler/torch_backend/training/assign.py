"""Setting parameters by what they mean: probabilities, means, rates."""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.ir.families import Family
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.torch_backend.model import CompiledCircuit

_CHANCES = (Family.BERNOULLI.keyword, Family.BINOMIAL.keyword)
_LEAST = 1e-30  # under a floor, logits stay finite, so that training can go on from them


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
    raw = unconstrain(values, entry, model.plan.floor)
    parameter = model.weights.values[parameter_name(model.plan, group)]
    if rows is None:
        parameter.copy_(raw)
    else:
        parameter[rows.to(parameter.device)] = raw.to(parameter)


def unconstrain(values: Tensor, group: WeightGroup, floor: float) -> Tensor:
    """Unconstrained numbers that give ``values`` under ``floor``."""
    if group.is_simplex:
        return _unlift(values, floor, group.columns).log()
    if group.owner in _CHANCES:
        return _unlift(values, floor, 2).log() - _unlift(1.0 - values, floor, 2).log()
    if group.owner == Family.POISSON.keyword:
        return values.log()
    return torch.stack([values[..., 0], values[..., 1].log()], dim=-1)


def _unlift(values: Tensor, floor: float, states: int) -> Tensor:
    """What the floor lifts to ``values``."""
    return values if floor == 0.0 else (values * (1.0 + states * floor) - floor).clamp_min(_LEAST)
