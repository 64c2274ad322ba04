"""The terms of the root's sum, all from one evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import NoMatch, Target
from pccompiler.torch_backend.engines.layered.backward import Backward
from pccompiler.torch_backend.engines.layered.engine import Layered, by_layer, like
from pccompiler.torch_backend.engines.layered.forward import Forward
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Descent, Task, Wanted
from pccompiler.torch_backend.runtime.threads import few_threads


class RootTerms(Layered):
    """`Layered` up to the root, which is a dense sum: logarithms of its inputs, not of the sum.

    Values have the shape (batch, fan-in), and so do the flows of the way down. The weights of the
    root are among the operands, but make no difference.
    """

    name = "root terms"
    answers = frozenset({Wanted.VALUE, Wanted.GRADIENT})

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> RootTerms:
        """See `Engine`: plans that `Layered` runs, with a dense sum as the root."""
        if plan.packed:
            raise NoMatch("the plan is packed: its sums are ragged")
        if plan.layers[-1].kind != Kind.SUM:
            raise NoMatch("the root is not a dense sum")
        return cls(plan, target)

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`."""
        inputs, weights = by_layer(self.plan, operands)
        keep, last = wanted is not Wanted.VALUE, len(self.plan.layers) - 1
        forward = Forward(self.indexed, inputs, weights, like(operands), keep, batch.complete)
        forward.below(last)
        return forward.log_operands(last)[0].t().clone(), Ascent(kept=forward)

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`."""
        last = len(self.plan.layers) - 1
        with few_threads(self.plan, self.target.device, len(task.flows)):
            backward = Backward(ascent.kept)
            backward.split(last, self.plan.layers[last], task.flows.t().unsqueeze(0).contiguous())
            inputs, weights = backward.below(last)
            return Descent((*inputs, *weights))
