"""What posterior marginals have in common, whatever found the flows of the leaves."""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.torch_backend.leaves.chosen import Chosen


def known_states(masses: Tensor, rows: Tensor, chosen: Chosen) -> Tensor:
    """Masses of states where a value is missing, 1 for observed states, 0 for other variables.

    Args:
        masses: Shape (batch, chosen variables, states).
        rows: The evidence, shape (batch, variables).
        chosen: The variables.
    """
    evidence = rows.index_select(1, chosen.index)
    states = torch.arange(chosen.states, device=masses.device)
    seen = (evidence.unsqueeze(2) == states).to(masses.dtype)
    found = torch.where(evidence.isnan().unsqueeze(2), masses, seen)
    return found * chosen.discrete.view(1, -1, 1)


def state_moments(masses: Tensor, chosen: Chosen) -> Tensor:
    """Mass, mean and mean square of states, shape (3, batch, chosen variables), in float64."""
    masses = masses.double()
    states = torch.arange(chosen.states, device=masses.device, dtype=masses.dtype)
    return torch.stack([masses.sum(2), masses @ states, masses @ states.square()])


def known_moments(sums: Tensor, rows: Tensor, chosen: Chosen) -> tuple[Tensor, Tensor]:
    """Means and variances, each of shape (batch, chosen variables); observed values have none.

    Args:
        sums: As from `state_moments`, with those of other leaves added.
        rows: The evidence, shape (batch, variables).
        chosen: The variables.
    """
    evidence = rows.index_select(1, chosen.index)
    missing = evidence.isnan()
    mean, square = sums[1:] / sums[0]
    variance = torch.where(missing, square - mean.square(), 0.0).clamp_min(0.0)
    return torch.where(missing, mean.to(evidence), evidence), variance.to(evidence)


def posterior_fields(
    root: Tensor, log_scale: float, masses: Tensor, mean: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fields of `Posterior`: NaN in rows whose log-value ``root`` is -inf."""
    column = torch.where(root > -torch.inf, 0.0, torch.nan).unsqueeze(1)
    return masses + column.unsqueeze(2), mean + column, variance + column, root + log_scale
