"""The E-step: expected counts from one backward pass.

The flow of a weight, ``w dL/dw``, is the expected number of rows that pass through it; the gradient
with respect to a leaf's log-density is the unit's responsibility for the row.

Source:
    Darwiche (2003), "A Differential Approach to Inference in Bayesian Networks"; Peharz et al.
    (2017), "On the Latent Variable Interpretation in Sum-Product Networks".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.torch_backend.engines.differentiable import run
from pccompiler.torch_backend.engines.questions import Batch, Wanted
from pccompiler.torch_backend.leaves.inputs import LeafLayer
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.values import has_table


@dataclass(frozen=True, eq=False)
class Flows:
    """Expected counts and responsibilities of one batch.

    Attributes:
        log_likelihood: Sum over the batch, in nats.
        counts: Group of sums, Bernoulli or categorical leaves to expected counts, shape (weights,
            rows, columns), of both states for Bernoulli. Shared weights add their counts.
        shares: Layers of the other leaves to the column, shape (rows, 1, batch), and each unit's
            responsibility, (rows, units, batch), which is 0 where the value is missing.
    """

    log_likelihood: float
    counts: dict[int, Tensor]
    shares: list[tuple[LeafLayer, Tensor, Tensor]]


def has_counts(group: WeightGroup) -> bool:
    """Whether the M-step of a group needs only expected counts of its entries."""
    return group.tabular


def flows(
    model: CompiledCircuit,
    weights: Mapping[int, Tensor],
    x: Tensor,
    complete: bool,
    shares: Tensor | None = None,
) -> Flows:
    """Expected counts for the rows of ``x``.

    A missing value gives leaves no counts. (A sum over indicators may get expected counts, in
    proportion to its weights, which is the expectation over the missing value.)

    Args:
        model: A model whose weights are not generated.
        weights: Weights of every group, as `pccompiler.torch_backend.weights.weights.constrain`.
        x: Shape ``(batch, variables)``, as `prepare` returns it.
        complete: A promise that no value is missing.
        shares: Positive weights of the rows, shape ``(batch,)``; ``None``: all 1.
    """
    held = {
        number: weights[number].detach().requires_grad_()
        for number, group in enumerate(model.plan.groups)
        if has_counts(group)
    }
    with torch.enable_grad():
        given = dict(weights)
        for number, table in held.items():
            leaf = not model.plan.groups[number].is_sum
            given[number] = table if complete or not leaf else _with_missing(table)
        tables, leaves = model.weights(given)
        inputs, found = _inputs(model, leaves, x, complete)
        engine = model.engines.choose(Wanted.COUNTS)
        value = run(engine, Batch(x, complete), [*inputs, *tables], Wanted.COUNTS)
        wanted = [*held.values(), *(density for _, _, density in found)]
        weighted = value if shares is None else shares.to(value) * value
        grads = torch.autograd.grad(weighted.sum(), wanted)
    rows = len(x) if shares is None else float(shares.sum())
    total = float(weighted.detach().double().sum()) + rows * model.plan.log_scale
    return Flows(
        total,
        {n: (held[n].detach() * grad) for n, grad in zip(held, grads, strict=False)},
        [
            (layer, column, grad.masked_fill(column.isnan(), 0.0))
            for (layer, column, _), grad in zip(found, grads[len(held) :], strict=True)
        ],
    )


def _with_missing(table: Tensor) -> Tensor:
    """The table with another column of ones for the state "missing"."""
    return torch.cat([table, torch.ones_like(table[..., :1])], dim=-1)


def _inputs(
    model: CompiledCircuit, leaves: Mapping[int, Tensor], x: Tensor, complete: bool
) -> tuple[list[Tensor], list[tuple[LeafLayer, Tensor, Tensor]]]:
    """The engine's inputs, and those that are log-densities, with their layers and columns."""
    source = model.leaf_inputs
    columns = x.t().contiguous()
    inputs: list[Tensor] = []
    densities: list[tuple[LeafLayer, Tensor, Tensor]] = []
    for layer in source.layers:
        column = layer.column(columns)
        if layer.number in leaves:
            with torch.no_grad():
                density = layer.log_density(column, leaves[layer.number], source.exact)
            inputs.append(density.requires_grad_())
            densities.append((layer, column, inputs[-1]))
        elif complete or not has_table(model.plan.layers[layer.number]):
            inputs.append(layer.one_hot(column))
        else:
            missing = column.isnan()
            seen = layer.one_hot(column).masked_fill(missing, 0.0)
            inputs.append(torch.cat([seen, missing.to(seen.dtype)], dim=1))
    return inputs, densities
