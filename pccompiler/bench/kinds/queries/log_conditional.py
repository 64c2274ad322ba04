"""Conditional log-probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.kinds.checks import Pair, digits, values
from pccompiler.bench.timing import Run, called
from pccompiler.bench.units import Work
from pccompiler.bench.weight_work import weight_work
from pccompiler.bench.work import ascent, moved
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend import CompiledCircuit


class LogConditional(Kind):
    """A call of ``log_conditional``: every second variable given the others."""

    name = "log_conditional"
    by_clock = True

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        model, x = setting.model, setting.x
        query, evidence = halves(x)
        return called(lambda: model.log_conditional(query, evidence))

    def work(self, plan: Plan, batch: int) -> Work:
        """Two passes up, one of the query and the evidence and one of the evidence alone."""
        moves = moved(plan, batch, passes=1, results=batch)
        return ascent(plan, batch).times(2) + weight_work(plan, back=False) + moves

    def errors(self, pair: Pair) -> dict[str, float]:
        """The largest difference in nats: values may be near 0, as relative errors may not."""
        a, b = (_answers(model, rows) for model, rows in pair.both)
        apart = float((a.double() - b).abs().max())
        return {**values(pair), "conditional_error": digits(apart)}


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """Every second variable, and the others, with NaN for the rest."""
    query, evidence = x.clone(), x.clone()
    query[:, 1::2] = evidence[:, ::2] = torch.nan
    return query, evidence


def _answers(model: CompiledCircuit, rows: Tensor) -> Tensor:
    with torch.no_grad():
        return model.log_conditional(*halves(rows))
