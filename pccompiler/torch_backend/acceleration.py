"""Picks fused kernels for circuits that have some; the layered engine runs everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan import Plan
from pccompiler.passes.lanes import fuse
from pccompiler.passes.region_trees import NotFusedError, root_order
from pccompiler.torch_backend.c_compiler import say_slower
from pccompiler.torch_backend.cpu_trees import NarrowOnCPU
from pccompiler.torch_backend.dense import Dense, NotDense, Precision
from pccompiler.torch_backend.first_order import first_order
from pccompiler.torch_backend.kernel_files import KernelError
from pccompiler.torch_backend.lane_weights import Arranged, Generated, Source
from pccompiler.torch_backend.leaves import LeafInputs
from pccompiler.torch_backend.notices import say_once
from pccompiler.torch_backend.systolic import Systolic

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator
    from pccompiler.torch_backend.weights import Weights

MOST_UNITS = 8
"""Above, a lane's weights and their gradients do not fit in its registers."""
_MOST_ROWS = 2**18
"""At once: launches count blocks of rows in 16 bits."""
_PRECISIONS: dict[str, Precision] = {"highest": "ieee", "high": "tf32", "medium": "bf16"}


class Kernels(Protocol):
    """Evaluates a circuit in fused kernels."""

    def __call__(self, x: Tensor, complete: bool) -> Tensor:
        """Log-likelihoods, shape (batch,), of rows (batch, variables), without `Plan.log_scale`."""
        ...


class Wide:
    """A circuit of wide sums in Triton kernels; torch makes the weights."""

    def __init__(self, plan: Plan, weights: Weights, device: torch.device) -> None:
        """Read the plan.

        Raises:
            NotDense: If it has other layers than inputs, products, mixtures and wide sums.
        """
        self.dense, self.weights = Dense.of(plan, device), weights
        self.leaves = LeafInputs(plan, device, torch.float32)
        self.proven = False

    def __call__(self, x: Tensor, complete: bool) -> Tensor:
        """See `Kernels`. Matrix products are as precise as torch's are set to be.

        Raises:
            KernelError: If Triton cannot compile or start them: it needs a C compiler, too.
        """
        self.dense.runner.precision = _PRECISIONS[torch.get_float32_matmul_precision()]
        tables, leaves = self.weights()
        try:
            found = self.dense.run(x, tables, self.leaves.densities(x, leaves))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # Triton has no class of its own for them
            if self.proven:
                raise
            raise KernelError(f"Triton fails: {str(error)[:200]}") from error
        self.proven = True
        return found


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


def accelerate(model: Evaluator) -> Kernels | None:
    """Kernels for a model in float32 that fit; says once what keeps them from running."""
    if model.dtype != torch.float32:
        return None
    if model.device.type == "cpu":
        return _on_cpu(model)
    if model.device.type != "cuda":
        return None
    reasons: list[str] = []
    for kind in (Narrow, Wide):
        try:
            return kind(model.plan, model.weights, model.device)
        except (NotFusedError, NotDense, KernelError) as why:
            reasons.append(f"{kind.__name__.lower()}: {why}")
    say_once(
        "no fused kernels fit the circuit, so it runs layer by layer (" + "; ".join(reasons) + ")"
    )
    return None


def in_kernels(model: Evaluator, x: Tensor, complete: bool) -> Tensor | None:
    """Log-likelihoods from the model's kernels; ``None``: it has none, or they do not run."""
    kernels = model.kernels
    if kernels is None:
        return None
    try:
        return kernels(x, complete)
    except KernelError as why:
        say_once(f"fused kernels fail, so the circuit runs layer by layer: {why}")
        model.without_kernels()
        return None


def _on_cpu(model: Evaluator) -> Kernels | None:
    """Few circuits have kernels here, so only the lack of a compiler is worth a word."""
    try:
        return NarrowOnCPU(model.plan, model.weights)
    except NotFusedError:
        return None
    except KernelError as why:
        say_slower(why)
        return None


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
