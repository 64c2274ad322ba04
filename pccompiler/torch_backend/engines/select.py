"""Picks fused kernels for circuits that have some; the layered engine runs everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pccompiler.log import say_once
from pccompiler.torch_backend.engines.base import Kernels, NotFusedError
from pccompiler.torch_backend.engines.dense.engine import NotDense, Wide
from pccompiler.torch_backend.engines.trees.cpu import NarrowOnCPU
from pccompiler.torch_backend.engines.trees.cuda_engine import Narrow
from pccompiler.torch_backend.runtime.c_compiler import say_slower
from pccompiler.torch_backend.runtime.kernel_cache import KernelError

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator


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
