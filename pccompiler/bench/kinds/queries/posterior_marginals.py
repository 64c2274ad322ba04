"""Posterior marginals of all variables."""

from __future__ import annotations

from functools import partial

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.kinds.checks import Pair, digits, values
from pccompiler.bench.timing import Run, called
from pccompiler.bench.units import Work
from pccompiler.bench.weight_work import weight_work
from pccompiler.bench.work import ascent, descent, moved
from pccompiler.ir.plan.plan import Plan


class PosteriorMarginals(Kind):
    """A call of ``posterior_marginals``: every second variable is missing, all are asked for."""

    name = "posterior_marginals"
    by_clock = True
    peers = ("pgmpy",)

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        return called(partial(setting.model.posterior_marginals, setting.holey))

    def work(self, plan: Plan, batch: int) -> Work:
        """A pass up, and one down to the leaves, but not into weights; a mean for each variable.

        What a leaf makes of its flow depends on the evidence, and counts as nothing.
        """
        arithmetic = ascent(plan, batch) + descent(plan, batch, weights=False)
        moves = moved(plan, batch, passes=1, results=batch * len(plan.variables))
        return arithmetic + weight_work(plan, back=False) + moves

    def errors(self, pair: Pair) -> dict[str, float]:
        """The largest difference of a state's probability, or of a mean if there are no states."""
        a, b = (model.posterior_marginals(rows) for model, rows in pair.both)
        apart = (a.states.double() - b.states) if b.states.numel() else (a.mean.double() - b.mean)
        return {**values(pair), "posterior_error": digits(float(apart.abs().max()))}
