"""Valid parameters: floating-point numbers, finite except for exact zeros."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.weights.supports import SIMPLEX

_TYPES = (torch.float32, torch.float64)


@torch.no_grad()
def unsound(model: CompiledCircuit, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Parameter name to the fault of each invalid parameter; empty if there are none.

    A probability of exactly 0 has an infinite logit (`pccompiler.ir.plan.materialize.unconstrain`),
    which is allowed if the parameter belongs to one weight; networks and means must be finite.
    Synchronizes with the device once.

    Args:
        model: Its plan tells the meaning of the parameters.
        tensors: Values by parameter name.
    """
    found = {
        name: f"holds {str(value.dtype).removeprefix('torch.')}, not float32 or float64"
        for name, value in sorted(tensors.items())
        if value.dtype not in _TYPES
    }
    owners = _owners(model)
    others = [name for name in sorted(tensors) if name not in found]
    if others:
        wrong = torch.stack([_is_wrong(tensors[name], owners.get(name)) for name in others])
        found |= {
            name: _why(tensors[name])
            for name, bad in zip(others, wrong.tolist(), strict=True)
            if bad
        }
    return found


def _owners(model: CompiledCircuit) -> dict[str, WeightGroup]:
    """The group of each parameter that holds the weights of one group."""
    return {
        parameter_name(model.plan, number): group
        for number, group in enumerate(model.plan.groups)
        if not group.generated
    }


def _is_wrong(value: Tensor, group: WeightGroup | None) -> Tensor:
    """Whether there is an invalid entry, as a 0-d boolean tensor."""
    if group is None:
        return ~value.isfinite().all()
    return (SIMPLEX if group.is_sum else leaf_of(group.owner)).unsound(value)


def _why(value: Tensor) -> str:
    missing, infinite = int(value.isnan().sum()), int(value.isinf().sum())
    return f"has {missing} NaN and {infinite} infinite entries among {value.numel()}"
