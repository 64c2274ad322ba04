"""Log-likelihoods and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.timing import Run, replayed
from pccompiler.bench.units import Work
from pccompiler.bench.weight_work import weight_work
from pccompiler.bench.work import ascent, descent, moved
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.training.unchecked import Unchecked


class Gradients(Kind):
    """Log-likelihoods, and gradients of all parameters."""

    name = "gradients"
    peers = ("cirkit", "hyperspn", "plain-torch", "pyjuice", "simple-einet")

    def run(self, setting: Setting) -> Run:
        """See `Kind`; in a CUDA graph, the gradients of aliases (see `Stepper`)."""
        model, x = setting.model, setting.x
        parameters = list(model.parameters())
        call: Callable[[], Tensor] = partial(model.evaluate_unchecked, x, True)
        if x.device.type == "cuda":
            parameters = [torch.nn.Parameter(p.detach()) for p in parameters]
            names = [f"model.{name}" for name, _ in model.named_parameters()]
            leaves: dict[str, Tensor] = dict(zip(names, parameters, strict=True))
            call = partial(torch.func.functional_call, Unchecked(model), leaves, (x, True))

        def gradients() -> tuple[Tensor, ...]:
            with torch.enable_grad():
                return torch.autograd.grad(-call().sum(), parameters)

        return replayed(gradients, x.device)

    def work(self, plan: Plan, batch: int) -> Work:
        """Both passes; data and parameters are read, log-likelihoods and gradients written."""
        moves = moved(plan, batch, passes=2, results=batch)
        return both_passes(plan, batch) + moves


def both_passes(plan: Plan, batch: int) -> Work:
    """The arithmetic of both passes, from parameters to their gradients."""
    return ascent(plan, batch) + descent(plan, batch) + weight_work(plan, back=True)
