"""An engine's value as one differentiable torch operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pccompiler.torch_backend.engines.base import Engine
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Task, Wanted
from pccompiler.torch_backend.runtime.first_order import first_order
from pccompiler.torch_backend.weights.weights import Weights


def evaluate(engine: Engine, batch: Batch, weights: Weights, wanted: Wanted) -> Tensor:
    """Log-likelihoods without `Plan.log_scale`, shape (batch,)."""
    rows, most = len(batch.x), engine.most_rows
    if rows == 0 and engine.in_kernels:
        return batch.x.new_zeros(0)
    if most is not None and rows > most:
        parts = [evaluate(engine, part, weights, wanted) for part in batch.split(most)]
        return torch.cat(parts)
    return run(engine, batch, engine.operands(batch, weights), wanted)


def run(engine: Engine, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> Tensor:
    """The same from given operands, whose gradients come from `Engine.down`."""
    if not torch.is_grad_enabled():
        return engine.up(batch, operands, Wanted.VALUE)[0]
    result: Tensor = _Run.apply(  # type: ignore[no-untyped-call]  # torch's stub
        engine, batch, wanted, *operands
    )
    return result


class _Run(torch.autograd.Function):
    """Runs up, and down if gradients are wanted."""

    @staticmethod
    def forward(
        ctx: Any, engine: Engine, batch: Batch, wanted: Wanted, *operands: Tensor
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        keep = wanted is not Wanted.VALUE and any(ctx.needs_input_grad)
        value, ascent = engine.up(batch, operands, wanted if keep else Wanted.VALUE)
        if keep:
            ctx.engine, ctx.wanted, ctx.kept = engine, wanted, ascent.kept
            ctx.save_for_backward(*ascent.saved)
        return value

    @staticmethod
    @first_order
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override, unused-ignore]  # pyright: ignore[reportIncompatibleMethodOverride]
        ascent = Ascent(ctx.saved_tensors, ctx.kept)
        descent = ctx.engine.down(ascent, Task(grad_outputs[0], ctx.wanted))
        return (None, None, None, *descent.operands)
