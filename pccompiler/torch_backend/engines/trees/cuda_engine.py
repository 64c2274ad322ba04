"""Trees of small regions on CUDA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.log import say_once
from pccompiler.torch_backend.engines.base import NotFusedError
from pccompiler.torch_backend.engines.trees.cuda import Systolic
from pccompiler.torch_backend.engines.trees.cuda_weights import Arranged, Generated, Source
from pccompiler.torch_backend.engines.trees.match import root_order
from pccompiler.torch_backend.engines.trees.warps import fuse
from pccompiler.torch_backend.runtime.first_order import first_order

if TYPE_CHECKING:
    from pccompiler.torch_backend.weights.weights import Weights


MOST_UNITS = 8
"""Above, a lane's weights and their gradients do not fit in its registers."""


_MOST_ROWS = 2**18
"""At once: launches count blocks of rows in 16 bits."""


class Narrow:
    """A circuit of small regions in trees, in systolic kernels."""

    def __init__(self, plan: Plan, weights: Weights, device: torch.device) -> None:
        """Fuse and compile.

        Raises:
            NotFusedError: If the plan is no tree of small regions over binary leaves.
            KernelError: If kernels cannot be compiled.
        """
        self.plan, self.weights, self.device = plan, weights, device
        fused = fuse(plan)
        if fused.units > MOST_UNITS:
            raise NotFusedError(f"regions have {fused.units} units, more than {MOST_UNITS}")
        self.engine = Systolic(fused, device)
        self.source: Source
        try:
            self.source = Generated(self.engine, weights)
        except NotFusedError as why:
            say_once(f"torch makes the weights for the fused kernels: {why}")
            self.source = Arranged(self.engine)
        order = root_order(plan)
        self.order = None if order is None else torch.from_numpy(order).to(device)

    def __call__(self, x: Tensor, complete: bool) -> Tensor:
        """See `Kernels`."""
        if len(x) == 0:
            return x.new_zeros(0)
        if len(x) > _MOST_ROWS:
            return torch.cat([self(rows, complete) for rows in x.split(_MOST_ROWS)])
        share = self._share()
        result: Tensor = _Run.apply(  # type: ignore[no-untyped-call]  # torch's stub
            self, x, complete, share, *self.source.tensors(self.weights)
        )
        return result

    def _share(self) -> Tensor | None:
        """The roots' shares of the mixture, in the order of the roots; ``None``: one root."""
        if self.plan.layers[-1].kind != Kind.MIXTURE:
            return None
        share = self.weights.by_group((self.plan.layers[-1].group,))[self.plan.layers[-1].group]
        flat = share.flatten()
        return (flat if self.order is None else flat.index_select(0, self.order)).contiguous()


class _Run(torch.autograd.Function):
    """Everything between parameters and log-likelihoods."""

    @staticmethod
    def forward(
        ctx: Any,
        circuit: Narrow,
        x: Tensor,
        complete: bool,
        share: Tensor | None,
        *tensors: Tensor,
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        engine, batch = circuit.engine, len(x)
        weights = circuit.source.make(tensors)
        codes = engine.pack(x, complete)
        roots, pieces = engine.up(codes, batch, weights, complete)
        values = roots[0].clone() if share is None else engine.mix(roots, share)
        if any(ctx.needs_input_grad):
            ctx.circuit, ctx.complete, ctx.share = circuit, complete, share is not None
            kept = () if share is None else (share,)
            ctx.save_for_backward(codes, weights, pieces, roots, values, *kept, *tensors)
        return values

    @staticmethod
    @first_order
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override, unused-ignore]  # pyright: ignore[reportIncompatibleMethodOverride]
        codes, weights, pieces, roots, values, *rest = ctx.saved_tensors
        engine, above = ctx.circuit.engine, grad_outputs[0].contiguous()
        share, flows = None, above.unsqueeze(0)
        if ctx.share:
            flows, share = engine.unmix(roots, rest[0], values, above)
            rest = rest[1:]
        found = engine.down(codes, weights, pieces, flows, ctx.complete)
        grads = ctx.circuit.source.back(found, len(values), rest)
        return (None, None, None, share, *grads)
