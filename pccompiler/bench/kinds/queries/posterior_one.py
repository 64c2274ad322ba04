"""The posterior of one variable."""

from __future__ import annotations

from functools import partial

from pccompiler.bench.kinds.base import Setting
from pccompiler.bench.kinds.queries.posterior_marginals import PosteriorMarginals
from pccompiler.bench.timing import Run, called
from pccompiler.bench.units import Work
from pccompiler.bench.weight_work import weight_work
from pccompiler.bench.work import ascent, moved
from pccompiler.ir.plan.plan import Plan


class PosteriorOne(PosteriorMarginals):
    """A call of ``posterior_marginals`` for the first variable; every second one is missing."""

    name = "posterior_one"

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        ask = partial(setting.model.posterior_marginals, setting.holey, variables=[0])
        return called(ask)

    def work(self, plan: Plan, batch: int) -> Work:
        """A pass up, without which no variable's posterior is known."""
        moves = moved(plan, batch, passes=1, results=batch)
        return ascent(plan, batch) + weight_work(plan, back=False) + moves
