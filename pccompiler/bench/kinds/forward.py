"""Log-likelihoods, from parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.timing import Run, replayed
from pccompiler.bench.units import Work
from pccompiler.bench.weight_work import weight_work
from pccompiler.bench.work import ascent, moved
from pccompiler.ir.plan.plan import Plan


class Forward(Kind):
    """Log-likelihoods of the rows, including the weights."""

    name = "forward"
    peers = ("cirkit", "hyperspn", "plain-torch", "pyjuice", "simple-einet", "spflow")

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        model, x = setting.model, setting.x

        def forward() -> Tensor:
            with torch.no_grad():
                return model.evaluate_unchecked(x, True)

        return replayed(forward, x.device)

    def work(self, plan: Plan, batch: int) -> Work:
        """One pass up; data and parameters are read, log-likelihoods written."""
        moves = moved(plan, batch, passes=1, results=batch)
        return ascent(plan, batch) + weight_work(plan, back=False) + moves
