"""Checks that parameters give usable weights."""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.errors import CircuitError
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.weights.supports import SIMPLEX
from pccompiler.torch_backend.weights.weights import Weights


@torch.no_grad()
def check_finite(weights: Weights) -> None:
    """Refuse parameters whose weights overflow, or whose scales are 0.

    Parameters of 1e30 are finite, but a network turns them into NaN, and exp into infinity.

    Raises:
        CircuitError: PC113, listing all groups of such weights.
    """
    wrong = {
        weights.plan.groups[number].name: int(_useless(table, weights.plan.groups[number]).sum())
        for number, table in weights.by_group().items()
    }
    notes = [f"{count} numbers of {name}" for name, count in wrong.items() if count]
    if notes:
        raise CircuitError.of(
            "PC113",
            "the parameters give weights that are not finite, or scales of 0",
            notes=notes,
            help="use parameters of ordinary size, or load a model that was saved earlier",
        )


def _useless(table: Tensor, group: WeightGroup) -> Tensor:
    """Where there is NaN, infinity or a scale of 0; log-probabilities and log-rates may be -inf."""
    return (SIMPLEX if group.is_sum else leaf_of(group.owner)).useless(table)
