"""Samples."""

from __future__ import annotations

from functools import partial

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.timing import Run, called
from pccompiler.ir.plan.plan import Plan


class Sample(Kind):
    """A call of ``sample`` for as many samples as the batch has rows."""

    name = "sample"
    by_clock = True

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        return called(partial(setting.model.sample, setting.batch, seed=0))

    def work(self, plan: Plan, batch: int) -> None:
        """None: a sample reads only the weights on its own way down, which chance decides."""
        del plan, batch
