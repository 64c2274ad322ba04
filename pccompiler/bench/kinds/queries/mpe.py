"""Most probable completions."""

from __future__ import annotations

from functools import partial

import torch

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.kinds.checks import Pair, largest, values
from pccompiler.bench.timing import Run, called
from pccompiler.bench.units import Work
from pccompiler.bench.weight_work import weight_work
from pccompiler.bench.work import ascent, moved
from pccompiler.ir.plan.plan import Plan


class Mpe(Kind):
    """A call of ``mpe``: every second variable is missing."""

    name = "mpe"
    by_clock = True
    peers = ("pgmpy", "spflow")

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        return called(partial(setting.model.mpe, setting.holey))

    def work(self, plan: Plan, batch: int) -> Work:
        """A pass up with a comparison for each addition; the way down only reads choices."""
        moves = moved(plan, batch, passes=1, results=batch * len(plan.variables))
        return ascent(plan, batch) + weight_work(plan, back=False) + moves

    def errors(self, pair: Pair) -> dict[str, float]:
        """The largest relative difference between the log-likelihoods of the completions.

        Both are evaluated in float64, so that ties count as nothing.
        """
        with torch.no_grad():
            a, b = (
                pair.double.evaluate_unchecked(model.mpe(rows).rows.double())
                for model, rows in pair.both
            )
        return {**values(pair), "mpe_error": largest(a, b)}
