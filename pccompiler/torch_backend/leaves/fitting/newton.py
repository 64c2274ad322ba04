"""Optimises the parameters of many units at once, for families without an M-step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_HALVINGS = 12
_FLATTEST = 1e-8

Objective = Callable[[Tensor], Tensor]
"""Maps unconstrained numbers, shape (weights, units, columns), to a value of each unit."""


def climb(raw: Tensor, objective: Objective, steps: int) -> Tensor:
    """Unconstrained numbers whose objective is at least as large, unit by unit.

    Newton's method with absolute curvatures, so that each step goes uphill, and with shorter steps
    if a full one does not improve. A unit whose objective is not finite stays unchanged.

    Args:
        raw: Starting point, shape (weights, units, columns).
        objective: Each unit's value must depend only on its own row.
        steps: The most steps.

    Source:
        Dauphin et al. (2014), "Identifying and attacking the saddle point problem in
        high-dimensional non-convex optimization".
    """
    with torch.no_grad():
        value = objective(raw)
    for _ in range(steps):
        direction = _direction(raw, objective)
        raw, value, moved = _search(raw, value, direction, objective)
        if not moved:
            break
    return raw


def _direction(raw: Tensor, objective: Objective) -> Tensor:
    """The gradient divided by the absolute curvature, unit by unit."""
    with torch.enable_grad():
        place = raw.detach().requires_grad_()
        (slope,) = torch.autograd.grad(objective(place).sum(), place, create_graph=True)
        rows = [
            torch.autograd.grad(
                slope[..., column].sum(), place, retain_graph=True, materialize_grads=True
            )[0]
            if slope.requires_grad
            else torch.zeros_like(place)
            for column in range(raw.shape[-1])
        ]
    bends = torch.stack(rows, dim=-2).detach().nan_to_num(0.0, 0.0, 0.0)
    bends = 0.5 * (bends + bends.transpose(-1, -2))
    size, axes = torch.linalg.eigh(bends)
    along = axes.transpose(-1, -2) @ slope.detach().nan_to_num(0.0, 0.0, 0.0).unsqueeze(-1)
    step: Tensor = axes @ (along / size.abs().clamp_min(_FLATTEST).unsqueeze(-1))
    return step.squeeze(-1)


@torch.no_grad()
def _search(
    raw: Tensor, value: Tensor, direction: Tensor, objective: Objective
) -> tuple[Tensor, Tensor, bool]:
    """The longest of several steps that improves, and whether any unit moved."""
    waiting = torch.ones_like(value, dtype=torch.bool)
    start, length = raw, 1.0
    for _ in range(_HALVINGS):
        trial = start + length * direction
        found = objective(trial)
        better = waiting & found.isfinite() & (found > value)
        raw = torch.where(better.unsqueeze(-1), trial, raw)
        value = torch.where(better, found, value)
        waiting = waiting & ~better
        length *= 0.25
        if not bool(waiting.any()):
            break
    return raw, value, not bool(waiting.all())
