"""Derivatives of any order, whichever engine ran forward.

Engines and kernels have their own backward pass, which torch cannot differentiate again. If a graph
of the derivatives is wanted (``create_graph=True``), they are taken from the plain definition
instead (`pccompiler.torch_backend.engines.plain`), which torch can differentiate any number of
times. The forward pass and ordinary gradients do not pay for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from pccompiler.errors import DataError
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.plain import Plain, has_reals
from pccompiler.torch_backend.leaves.likelihoods import NOTHING, Likelihoods
from pccompiler.torch_backend.runtime.transforms import transformed
from pccompiler.torch_backend.weights.weights import Weights


class Model(Protocol):
    """What derivatives need of a model."""

    plan: Plan
    weights: Weights

    def evaluate_once(
        self, x: Tensor, complete: bool = False, likelihoods: Likelihoods = NOTHING
    ) -> Tensor:
        """Log-likelihood of rows, differentiable once."""
        ...

    def definition(self, device: torch.device, dtype: torch.dtype) -> Plain:
        """The plan's definition for data on a device, in a given precision."""
        ...


def evaluate(model: Model, x: Tensor, complete: bool, likelihoods: Likelihoods = NOTHING) -> Tensor:
    """The model's log-likelihood of each row, with derivatives of any order.

    Raises:
        DataError: If ``x`` requires a gradient, but no variable is real.
    """
    if transformed():
        return by_definition(model, x, list(model.weights.values.values()), likelihoods)
    if x.requires_grad and torch.is_grad_enabled() and not has_reals(model.plan):
        raise _no_slope()
    value = model.evaluate_once(x, complete, likelihoods)
    if not value.requires_grad:
        return value
    result: Tensor = _Differentiable.apply(  # type: ignore[no-untyped-call]  # torch's stub
        model, value, likelihoods, x, *likelihoods.tensors, *model.weights.values.values()
    )
    return result


def _no_slope() -> DataError:
    return DataError.of(
        "PC907",
        "the rows require a gradient, but states and counts have no derivatives",
        help="detach the rows, x.detach(); for gradients to a classifier, give its outputs as soft "
        "evidence: soft={name: log_likelihoods}",
    )


def by_definition(
    model: Model,
    x: Tensor,
    parameters: Sequence[Tensor],
    likelihoods: Likelihoods = NOTHING,
) -> Tensor:
    """The model's log-likelihood of each row in plain torch operations.

    Args:
        model: The model to evaluate.
        x: Shape (batch, variables), NaN where missing.
        parameters: In the order of ``model.weights.values``.
        likelihoods: Soft and interval evidence.
    """
    known = model.definition(x.device, x.dtype)
    named = dict(zip(model.weights.values, parameters, strict=True))
    return known(x, model.weights, named, likelihoods).to(x.dtype)


class _Differentiable(torch.autograd.Function):
    """The identity of ``value``; a gradient with a graph goes directly to data and parameters.

    The operations that computed ``value`` then get no gradient, and do nothing. Data that nothing
    depends on smoothly, such as values of histograms, get a gradient of 0 rather than none.
    """

    @staticmethod
    def forward(
        ctx: Any, model: Model, value: Tensor, likelihoods: Likelihoods, x: Tensor, *rest: Tensor
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.model, ctx.likelihoods = model, likelihoods
        ctx.save_for_backward(x, *rest)
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        needed = ctx.needs_input_grad[3:]
        if grad is None or not torch.is_grad_enabled():
            own = torch.zeros_like(ctx.saved_tensors[0]) if needed[0] else None
            return (None, grad, None, own, *(None for _ in needed[1:]))
        # Views: if one of them is computed from another, each gets only its own share.
        x, *rest = [tensor.view_as(tensor) for tensor in ctx.saved_tensors]
        number = len(ctx.likelihoods.tensors)
        likelihoods = ctx.likelihoods.replaced(rest[:number])
        value = by_definition(ctx.model, x, rest[number:], likelihoods)
        wanted = [t for t, need in zip((x, *rest), needed, strict=True) if need]
        found = iter(
            torch.autograd.grad(value, wanted, grad, create_graph=True, materialize_grads=True)
        )
        return (None, None, None, *(next(found) if need else None for need in needed))
