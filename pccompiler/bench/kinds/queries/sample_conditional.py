"""Samples given evidence."""

from __future__ import annotations

from functools import partial

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.timing import Run, called
from pccompiler.bench.units import Work
from pccompiler.bench.weight_work import weight_work
from pccompiler.bench.work import ascent, moved
from pccompiler.ir.plan.plan import Plan


class SampleConditional(Kind):
    """A call of ``sample_conditional``, one sample a row: every second variable is missing."""

    name = "sample_conditional"
    by_clock = True

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        return called(partial(setting.model.sample_conditional, setting.holey, seed=0))

    def work(self, plan: Plan, batch: int) -> Work:
        """A pass up; the way down only follows its own choices."""
        moves = moved(plan, batch, passes=1, results=batch * len(plan.variables))
        return ascent(plan, batch) + weight_work(plan, back=False) + moves
