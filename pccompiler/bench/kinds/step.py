"""A training step with Adam."""

from __future__ import annotations

from functools import partial

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.kinds.gradients import both_passes
from pccompiler.bench.timing import Run, replay
from pccompiler.bench.units import Work
from pccompiler.bench.work import moved
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.training.optimizers.adam import make_adam
from pccompiler.torch_backend.training.stepper import Stepper

LEARNING_RATE = 5e-3
ADAM = 12, 2
"""Arithmetic and special functions to update one parameter."""


class Step(Kind):
    """A training step: gathering rows, weights, both passes, Adam."""

    name = "step"
    peers = ("cirkit", "hyperspn", "plain-torch", "simple-einet")

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        batch = setting.batch
        adam = partial(make_adam, rate=LEARNING_RATE, decay=0.0)
        stepper = Stepper(setting.model, setting.data, None, batch, adam, cuda_graph=True)
        stepper.rows.copy_(setting.rows)
        step: Run = stepper.step if stepper.graph is None else replay(stepper.graph, stepper)
        step()
        return step

    def work(self, plan: Plan, batch: int) -> Work:
        """Both passes and Adam; gradients stay on the chip, both moments are read and written."""
        number = lay_out(plan).num_parameters
        adam = Work(flops=ADAM[0] * number, special=ADAM[1] * number)
        return both_passes(plan, batch) + adam + moved(plan, batch, passes=6, results=1)
