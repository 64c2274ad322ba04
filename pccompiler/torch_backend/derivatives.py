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

from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.plain import Plain, has_reals
from pccompiler.torch_backend.runtime.transforms import transformed
from pccompiler.torch_backend.weights.weights import Weights


class Model(Protocol):
    """What derivatives need of a model."""

    plan: Plan
    weights: Weights

    def evaluate_once(self, x: Tensor, complete: bool = False) -> Tensor:
        """Log-likelihood of rows, differentiable once."""
        ...

    def definition(self, device: torch.device, dtype: torch.dtype) -> Plain:
        """The plan's definition for data on a device, in a given precision."""
        ...


def evaluate(model: Model, x: Tensor, complete: bool) -> Tensor:
    """The model's log-likelihood of each row, with derivatives of any order."""
    if transformed():
        return by_definition(model, x, list(model.weights.values.values()))
    x = x if has_reals(model.plan) else x.detach()
    value = model.evaluate_once(x, complete)
    if not value.requires_grad:
        return value
    result: Tensor = _Differentiable.apply(  # type: ignore[no-untyped-call]  # torch's stub
        model, value, x, *model.weights.values.values()
    )
    return result


def by_definition(model: Model, x: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The model's log-likelihood of each row in plain torch operations.

    Args:
        model: The model to evaluate.
        x: Shape (batch, variables), NaN where missing.
        parameters: In the order of ``model.weights.values``.
    """
    known = model.definition(x.device, x.dtype)
    named = dict(zip(model.weights.values, parameters, strict=True))
    return known(x, model.weights, named).to(x.dtype)


class _Differentiable(torch.autograd.Function):
    """The identity of ``value``; a gradient with a graph goes directly to data and parameters.

    The operations that computed ``value`` then get no gradient, and do nothing.
    """

    @staticmethod
    def forward(ctx: Any, model: Model, value: Tensor, x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.model = model
        ctx.save_for_backward(x, *parameters)
        return value.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        needed = ctx.needs_input_grad[2:]
        if grad is None or not torch.is_grad_enabled():
            return (None, grad, *(None for _ in needed))
        # Views: if one of them is computed from another, each gets only its own share.
        x, *parameters = [tensor.view_as(tensor) for tensor in ctx.saved_tensors]
        value = by_definition(ctx.model, x, parameters)
        wanted = [t for t, need in zip((x, *parameters), needed, strict=True) if need]
        found = iter(torch.autograd.grad(value, wanted, grad, create_graph=True, allow_unused=True))
        return (None, None, *(next(found) if need else None for need in needed))
