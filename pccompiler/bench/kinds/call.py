"""A call of ``model.log_likelihood``, by the clock."""

from __future__ import annotations

from functools import partial

from pccompiler.bench.kinds.base import Kind, Setting
from pccompiler.bench.kinds.forward import Forward
from pccompiler.bench.timing import Run, called
from pccompiler.bench.units import Work
from pccompiler.ir.plan.plan import Plan


class Call(Kind):
    """From the call to the values on the device: Python, checks of the rows, and the pass."""

    name = "call"
    by_clock = True
    peers = ("cirkit", "hyperspn", "plain-torch", "pyjuice", "simple-einet", "spflow")
    asks = "forward"

    def run(self, setting: Setting) -> Run:
        """See `Kind`."""
        return called(partial(setting.model.log_likelihood, setting.x))

    def work(self, plan: Plan, batch: int) -> Work:
        """As a forward pass."""
        return Forward().work(plan, batch)
