"""Runs any plan that is not packed, layer by layer in plain torch operations."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import Engine, Evaluate, NoMatch, Target
from pccompiler.torch_backend.engines.counting import Counted, Counting
from pccompiler.torch_backend.engines.layered.backward import Backward
from pccompiler.torch_backend.engines.layered.forward import Forward
from pccompiler.torch_backend.engines.layered.operands import Indexed
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Descent, Task, Wanted
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.runtime.threads import few_threads
from pccompiler.torch_backend.values import has_table
from pccompiler.torch_backend.weights.weights import Weights


class Layered(Engine):
    """One torch operation after the other, in any precision on any device.

    Its operands for gradients are the plan's. Inputs are one-hot states, shape (rows, states,
    batch), all ones if missing; state codes if tables are large (`leaves.lookup.codes_of`); and
    log-densities of leaves without tables, shape (rows, units, batch). Weights have the shape
    (rows, units, fan-in).
    """

    name = "layered"
    answers = frozenset({Wanted.VALUE, Wanted.GRADIENT, Wanted.COUNTS})

    indexed: Indexed
    leaves: LeafInputs
    counting: Counting

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> Layered:
        """See `Engine`: any plan that is not packed."""
        if plan.packed:
            raise NoMatch("the plan is packed: its sums are ragged")
        return cls(plan, target)

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`."""
        self.indexed = Indexed(self.plan, self.target.device)
        self.leaves = LeafInputs(self.plan, self.target.device, self.target.dtype)
        self.counting = Counting(self.plan, self.leaves, weights, lookup=True)

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """See `Engine`."""
        tables, leaves = weights()
        return [*self.leaves(batch.x, leaves, lookup=True), *tables]

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`. A promise that no value is missing saves work."""
        counted: Counted | None = None
        if wanted is Wanted.COUNTS:
            counted = Counted(batch, operands)
            operands = self.counting.operands(counted)
        inputs, weights = by_layer(self.plan, operands)
        keep = wanted is not Wanted.VALUE
        forward = Forward(self.indexed, inputs, weights, like(operands), keep, batch.complete)
        return forward.run(), Ascent(kept=(forward, counted))

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`."""
        forward, counted = ascent.kept
        with few_threads(self.plan, self.target.device, len(task.flows)):
            inputs, weights = Backward(forward).run(task.flows)
            found = (*inputs, *weights)
            return Descent(found if counted is None else self.counting.counts(counted, found))

    def release(self) -> None:
        """See `Engine`."""
        self.indexed.pool.renew(batch=-1)


def by_layer(plan: Plan, operands: Sequence[Tensor]) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """Inputs and weights by layer, for plans without ragged layers."""
    rest, numbers = iter(operands), range(len(plan.layers))
    inputs = {n: next(rest) for n in numbers if plan.layers[n].kind == Kind.INPUT}
    return inputs, {n: next(rest) for n in numbers if has_table(plan.layers[n])}


def like(tensors: Sequence[Tensor]) -> Tensor:
    """A floating tensor as long as the batch."""
    first = tensors[0]
    if first.is_floating_point():
        return first
    floating = next(tensor for tensor in tensors if tensor.is_floating_point())
    return floating.new_empty(0, first.shape[-1])
