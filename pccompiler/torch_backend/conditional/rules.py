"""Sums of terms, and the rules by which a sum passes its flow down to them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.values import safe_log, top_of


class _Routed(torch.autograd.Function):
    """A value whose whole gradient goes to one of its terms."""

    @staticmethod
    def forward(ctx: Any, terms: Tensor, value: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.shape = terms.shape
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (index,) = ctx.saved_tensors
        whole = grads[0].new_zeros(ctx.shape)
        return whole.scatter_(-1, index.unsqueeze(-1), grads[0].unsqueeze(-1)), None, None


class Rule:
    """How sums are computed, so that gradients of the root are the flows of a question.

    Args:
        wanted: A value, gradients and posteriors add terms, and share their flow in proportion.
            Draws add them too, and pass the flow to one, drawn in proportion; the best tree takes
            the largest.
        generator: Random numbers for draws.
    """

    def __init__(self, wanted: Wanted, generator: torch.Generator | None = None) -> None:
        self.wanted, self.generator = wanted, generator
        self.routes = wanted in (Wanted.DRAWS, Wanted.BEST)

    def terms(self, terms: Tensor) -> Tensor:
        """The sum of terms, given by their logarithms, along the last axis."""
        if self.wanted is Wanted.BEST:
            return terms.max(-1).values
        total = _log_sum(terms)
        if self.wanted is not Wanted.DRAWS:
            return total
        noise = torch.empty_like(terms).exponential_(generator=self.generator)
        noise = noise.clamp_min_(torch.finfo(terms.dtype).tiny)
        index = (terms.detach() - noise.log()).argmax(-1)
        routed: Tensor = _Routed.apply(terms, total.detach(), index)  # type: ignore[no-untyped-call]
        return routed

    def mixed(self, logs: Tensor, weight: Tensor) -> Tensor:
        """Mixtures of inputs, shape (batch, rows, units).

        Args:
            logs: Shape (batch, rows, fan-in).
            weight: Shape (rows, units, fan-in) or (batch, rows, units, fan-in).
        """
        if self.routes or weight.shape[-2] == 1:  # exact for any weight
            return self.terms(safe_log(weight) + logs.unsqueeze(2))
        top = top_of(logs, 2)
        inputs = (logs - top).exp()
        if weight.ndim == 3:
            mixed = torch.bmm(weight, inputs.permute(1, 2, 0)).permute(2, 0, 1)
        else:
            mixed = torch.matmul(weight, inputs.unsqueeze(3)).squeeze(3)
        return _log(mixed) + top


def _log(values: Tensor) -> Tensor:
    """Logarithms; where gradients pass, a 0 gets none."""
    return safe_log(values) if torch.is_grad_enabled() else values.log_()


def _log_sum(terms: Tensor) -> Tensor:
    """Log-sum-exp along the last axis; -inf if all terms are."""
    top = top_of(terms, -1)
    return _log((terms - top).exp_().sum(-1)) + top.squeeze(-1)
