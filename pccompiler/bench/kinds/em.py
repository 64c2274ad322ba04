"""A step of mini-batch expectation maximisation."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.kinds.checks import Pair, together, values
from pccompiler.bench.timing import Run, replay
from pccompiler.bench.units import Work
from pccompiler.bench.weight_work import weight_work
from pccompiler.bench.work import ascent, descent, moved
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.training.em.learner import Learner
from pccompiler.torch_backend.training.em.maximisation import Pace

PACE = Pace(step_size=0.1, pseudocount=0.1)
PASSES = 1000
"""Enough that a CUDA graph pays."""
ENTRY = 5
"""Arithmetic to update a probability: the count, weight times flow; the prior; the new and the old
share, and their sum."""


class Em(Kind):
    """A step of EM: gathering rows, weights, both passes, and the update of all parameters."""

    name = "em"
    peers = ("pyjuice",)

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        data, rows = setting.data, setting.rows
        if setting.batch > len(data):
            data, rows = setting.x, torch.arange(setting.batch, device=data.device)
        learner = learner_of(setting.model, data, setting.batch)
        learner.step(rows)
        if learner.graph is not None:
            return replay(learner.graph, learner)
        return partial(learner.step, rows)

    def work(self, plan: Plan, batch: int) -> Work:
        """Both passes and the M-step; data is read, parameters are read and written."""
        if lay_out(plan).heads:
            raise AssertionError("EM does not train hypernetworks")  # pragma: no cover
        total = ascent(plan, batch) + descent(plan, batch) + weight_work(plan, back=False)
        for group in plan.groups:
            total += maximised(group)
        return total + moved(plan, batch, passes=2, results=1)

    def errors(self, pair: Pair) -> dict[str, float]:
        """The parameters after a step on all rows, and log-likelihoods before it."""
        found = values(pair)
        a, b = (_stepped(*each) for each in pair.both)
        return {**found, "em_error": together(a, b)}


def maximised(group: WeightGroup) -> Work:
    """The M-step of a group, from the flows of its entries to its parameters.

    A distribution takes `ENTRY` operations and a logarithm for each entry, the sum of the counts,
    and one division. Other leaves take at least one division for each parameter, and its step.
    """
    rows = len(group.weights) * group.rows
    entries = rows * group.columns
    if group.is_simplex:
        return Work(flops=ENTRY * entries + rows * (group.columns - 1), special=entries + rows)
    return Work(flops=(ENTRY - 2) * entries, special=entries)


def learner_of(model: CompiledCircuit, data: Tensor, batch: int) -> Learner:
    """What takes steps of EM on batches of the rows of ``data``."""
    return Learner(model, data, None, np.random.default_rng(0), PASSES, batch, PACE)


def _stepped(model: CompiledCircuit, rows: Tensor) -> Tensor:
    """All parameters after one step, in float64."""
    learner_of(model, rows, len(rows)).step(None)
    return torch.cat([p.detach().double().flatten() for p in model.parameters()])
