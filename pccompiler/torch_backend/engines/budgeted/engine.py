"""Evaluation and training within a memory budget."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.ir.plan.plan import Plan
from pccompiler.passes.lowering.segments import Segments, best_segments
from pccompiler.torch_backend.engines.base import Engine, Evaluate, NoMatch, Target
from pccompiler.torch_backend.engines.budgeted.choose import training_bytes
from pccompiler.torch_backend.engines.budgeted.recompute import recomputed_gradients
from pccompiler.torch_backend.engines.budgeted.schedule import Budget, size_text
from pccompiler.torch_backend.engines.budgeted.streaming import LazyInputs, LazyWeights, Streamed
from pccompiler.torch_backend.engines.layered.operands import Indexed
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Descent, Task, Wanted
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.weights.weights import Weights

_ORDINARY = 3
"""Bound on the bytes of ordinary evaluation, relative to streamed evaluation in level order."""


class Budgeted(Engine):
    """Evaluates by a schedule: in blocks, a few rows at a time.

    Its operands are the data and the parameters; values are recomputed on the way down.
    """

    name = "budgeted"
    answers = frozenset({Wanted.VALUE, Wanted.GRADIENT})
    splits = True

    parameters: Weights
    rest: Evaluate
    blocks: _Lazily

    def __init__(self, plan: Plan, target: Target, budget: Budget) -> None:
        super().__init__(plan, target)
        self.budget, self.schedule = budget, budget.schedule

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> Budgeted:
        """See `Engine`: any plan, if a budget is set."""
        if target.budget is None:
            raise NoMatch("no memory budget is set")
        return cls(plan, target, target.budget)

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`."""
        self.parameters, self.rest = weights, rest
        self.blocks = _Lazily(self.budget.plan, self.target, weights)

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """The rows and the trained parameters.

        Raises:
            OptionError: If gradients are wanted and not even one row fits.
        """
        trained = [p for p in weights.values.values() if p.requires_grad]
        grows = batch.x.requires_grad or trained
        if torch.is_grad_enabled() and grows and self.schedule.training_rows < 1:
            one_row = int(sum(training_bytes(self.plan, self.target.dtype.itemsize)))
            raise OptionError.of(
                "PC372",
                f"memory_budget is {size_text(self.schedule.budget)}, but the gradient of one row "
                f"takes about {size_text(one_row)}",
                help="allow more, or evaluate under torch.no_grad()",
            )
        return [batch.x, *trained]

    @torch.no_grad()
    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`. No values are kept."""
        x = batch.x.detach()
        out = x.new_empty(len(x))
        for start in range(0, len(x), self.schedule.rows):
            part = x[start : start + self.schedule.rows]
            if self.roomy:
                out[start : start + len(part)] = self.rest(part, False)
                continue
            inputs = LazyInputs(self.blocks.leaves, self.blocks.weights, part)
            streamed = Streamed(self.blocks.indexed, inputs, self.blocks.weights)
            out[start : start + len(part)] = streamed.run()
        self.blocks.weights.kept.clear()
        return out, Ascent((batch.x,), batch.complete)

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`."""
        (x,) = ascent.saved
        if self.segments is not None:
            slope, found = self._in_segments(x, task.flows)
        else:
            slope, found = self._by_parts(x, ascent.kept, task.flows)
        return Descent((slope, *found))

    @property
    def roomy(self) -> bool:
        """Whether ordinary evaluation, which is faster in level order, fits as well."""
        scheduled = self.schedule
        return scheduled.splits == 0 and _ORDINARY * scheduled.bytes <= scheduled.budget

    @cached_property
    def segments(self) -> tuple[_Lazily, Segments] | None:
        """The plan and the segments to recompute; ``None`` if splitting the data is enough."""
        plan = self.budget.segmented
        if plan is None:
            return None
        return _Lazily(plan, self.target, self.parameters), best_segments(plan)

    def _in_segments(self, x: Tensor, grad: Tensor) -> tuple[Tensor | None, list[Tensor]]:
        """Gradients of the data if wanted, and of trained parameters, by recomputing segments."""
        if self.segments is None:
            raise AssertionError("only used with segments")  # pragma: no cover
        lazily, cut = self.segments
        named = dict(self.parameters.values.items())
        totals = {name: torch.zeros_like(p) for name, p in named.items()}
        size = self.schedule.training_rows
        slopes: list[Tensor] = []
        for part, more in zip(_parts(x, size), grad.split(size), strict=True):
            inputs = LazyInputs(lazily.leaves, lazily.weights, part)
            slopes.append(
                recomputed_gradients(lazily.indexed, inputs, lazily.weights, cut, more, totals)
            )
        trained = [totals[name] for name, p in named.items() if p.requires_grad]
        return torch.cat(slopes) if x.requires_grad else None, trained

    def _by_parts(
        self, x: Tensor, complete: bool, grad: Tensor
    ) -> tuple[Tensor | None, list[Tensor]]:
        """The same, a few rows at a time, by the engines that follow."""
        size = self.schedule.training_rows
        parameters: list[Tensor] = [p for p in self.parameters.values.values() if p.requires_grad]
        total = [torch.zeros_like(p) for p in parameters]
        slopes: list[Tensor] = []
        for part, above in zip(_parts(x, size), grad.split(size), strict=True):
            wanted = [part, *parameters] if x.requires_grad else parameters
            with torch.enable_grad():
                value = self.rest(part, complete)
            found = list(torch.autograd.grad(value, wanted, above, materialize_grads=True))
            del value  # frees all that it kept before the next part is evaluated
            if x.requires_grad:
                slopes.append(found.pop(0))
            for sum_, more in zip(total, found, strict=True):
                sum_ += more
        return torch.cat(slopes) if x.requires_grad else None, total


class _Lazily:
    """A plan of the circuit whose weights and inputs are computed on demand."""

    def __init__(self, plan: Plan, target: Target, weights: Weights) -> None:
        self.indexed = Indexed(plan, target.device, lookups=False)
        self.weights = LazyWeights(weights, plan)
        self.leaves = LeafInputs(plan, target.device, target.dtype)


def _parts(x: Tensor, size: int) -> list[Tensor]:
    """The rows in parts, which require gradients if ``x`` does."""
    return [part.detach().requires_grad_(x.requires_grad) for part in x.split(size)]
