"""Posterior marginals from flows, where parameters may differ from row to row."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pccompiler.torch_backend.conditional.evaluation import RowEvaluation
from pccompiler.torch_backend.conditional.leaves import Leaves
from pccompiler.torch_backend.leaves.chosen import Chosen
from pccompiler.torch_backend.queries.answers import Posterior
from pccompiler.torch_backend.queries.evaluation import mixed
from pccompiler.torch_backend.queries.marginals import (
    known_moments,
    known_states,
    posterior_fields,
    state_moments,
)


def posterior(run: RowEvaluation, rows: Tensor, chosen: Chosen) -> Posterior:
    """Marginals of some variables.

    Args:
        run: An evaluation for `Wanted.POSTERIOR`.
        rows: Its rows, shape (batch, variables).
        chosen: The variables.
    """
    flows = run.flows()
    masses = _masses(run, flows, rows, chosen)
    mean, variance = _moments(run, flows, masses, rows, chosen)
    root, log_scale = run.root.detach(), run.plan.log_scale
    return Posterior(*posterior_fields(root, log_scale, masses, mean, variance))


def _masses(
    run: RowEvaluation, flows: Mapping[int, Tensor], rows: Tensor, chosen: Chosen
) -> Tensor:
    """Mass of each state of discrete variables, shape (batch, chosen variables, states)."""
    out = rows.new_zeros(len(rows), len(chosen.columns), chosen.states)
    for number, (some, slots) in chosen.rows.items():
        mass = _states(run.leaves[number], flows[number])
        if mass is None:
            continue
        mass = (mass if some is None else mass.index_select(1, some))[..., : chosen.states]
        out[..., : mass.shape[2]].index_add_(1, slots, mass)
    return known_states(out, rows, chosen)


def _states(leaves: Leaves, flow: Tensor) -> Tensor | None:
    """Flow times probability of each state, shape (batch, rows, states), if there are states."""
    if leaves.given is None:  # indicators
        return flow
    table = leaves.given if leaves.tabular else leaves.units().table
    if table is None:
        return None
    if table.ndim == 3 and leaves.tabular:
        return torch.einsum("bru,rus->brs", flow, table)
    return torch.matmul(flow.unsqueeze(2), table.view(*flow.shape, table.shape[-1])).squeeze(2)


def _moments(
    run: RowEvaluation, flows: Mapping[int, Tensor], masses: Tensor, rows: Tensor, chosen: Chosen
) -> tuple[Tensor, Tensor]:
    """Mean and variance of each variable, in float64 and divided by the sum of the flows."""
    sums = state_moments(masses, chosen)
    for number, (some, slots) in chosen.rows.items():
        leaves = run.leaves[number]
        if leaves.given is None or leaves.tabular or leaves.layer.last is not None:
            continue
        units, flow = leaves.units().double(), flows[number].double()
        found = [flow.sum(2)]
        for moment in (units.leaf.mean, units.leaf.square):
            own = mixed(units, moment(units), flow.reshape(-1, flow.shape[2], 1))
            found.append(own.view(flow.shape[:2]))
        made = torch.stack(found)
        sums.index_add_(2, slots, made if some is None else made.index_select(2, some))
    return known_moments(sums, rows, chosen)
