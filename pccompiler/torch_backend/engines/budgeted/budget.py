"""Evaluation and training within a number of bytes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Hypernetwork
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan
from pccompiler.passes import plan as lower
from pccompiler.passes.lowering.peak_memory import peak
from pccompiler.passes.lowering.segments import Segments, best_segments
from pccompiler.torch_backend.engines.budgeted.recompute import recomputed_gradients
from pccompiler.torch_backend.engines.budgeted.schedule import Schedule, size_text
from pccompiler.torch_backend.engines.budgeted.streaming import LazyInputs, LazyWeights, Streamed
from pccompiler.torch_backend.engines.layered.engine import Engine
from pccompiler.torch_backend.evaluator import Evaluator
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.runtime.first_order import first_order

_SPLITS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256)
_ROWS = 500
"""Rows that an evaluation likes to take at once: fewer cost time, more only memory."""
_FEW_ROWS = 50
"""Below so many rows at once, finer blocks are better than fewer rows."""
_ORDINARY = 3
"""At most so many times the bytes of a streamed evaluation in level order."""
_KEPT = 1.86
"""Bytes of a training step over those of all layers' values: 1.85 to 1.87 in the paper's circuits.

Gathered operands are kept beside: circuits whose layers are no views take up to twice as much.
"""
_AGAIN = 1.22
"""Bytes of a training step over those of kept values and the largest segment; 1.17 to 1.26."""


def choose(
    circuit: Circuit, dtype: str, numerics: str, budget: int, level_order: Plan
) -> tuple[Schedule, Plan]:
    """The coarsest blocks that fit, with as many rows at once as fit.

    Raises:
        OptionError: If one row in the finest blocks takes more, or the plan is packed.
    """
    if level_order.packed:
        raise OptionError.of(
            "PC373",
            "this circuit's plan is packed, and takes no memory budget",
            notes=("packed plans are evaluated a few rows at a time, in about 8 MiB on a CPU",),
            help="compile it without memory_budget",
        )
    itemsize = 8 if dtype == "float64" else 4
    chosen = 0, level_order, 0
    finer = _Finer(circuit, dtype, numerics, level_order)
    for splits, plan in finer:
        chosen = splits, plan, _most_rows(plan, itemsize, budget)
        if chosen[2] >= _FEW_ROWS:
            break
    splits, plan, rows = chosen
    if rows < 1:
        least = peak(plan, 1, itemsize).bytes
        raise OptionError.of(
            "PC371",
            f"memory_budget is {size_text(budget)}, but one row takes {size_text(least)}",
            notes=("in blocks as fine as they get; parameters and data are not counted",),
            help=f"allow at least {least:,} bytes",
        )
    found = peak(plan, rows, itemsize)
    training = _training(finer, itemsize, budget)
    schedule = Schedule(
        budget=budget,
        splits=splits,
        blocks=len(plan.layers),
        rows=rows,
        values=found.values,
        bytes=found.bytes,
        training_rows=training[0],
        training_bytes=training[1],
        training_splits=training[2],
    )
    return schedule, plan


def _training(finer: _Finer, itemsize: int, budget: int) -> tuple[int, int, int]:
    """Rows, bytes and splits of training: as a whole if enough rows fit, else in segments."""
    best = 0, 0, 0
    for splits, plan in finer:
        if splits == 0:
            per_row, fixed = training_bytes(plan, itemsize)
        else:
            cut = best_segments(plan)
            per_row = _AGAIN * (cut.kept + cut.largest) * itemsize
            fixed = float(itemsize * lay_out(plan).num_parameters)
        rows = max(0, min(_ROWS, int((budget - fixed) / per_row)))
        if rows > best[0]:
            best = rows, int(fixed + per_row * rows), splits
        if rows >= _FEW_ROWS or not _apart(plan):
            break
    return best


def _apart(plan: Plan) -> bool:
    """Whether each layer's weights can be generated without those of others."""
    sectors = plan.sectors
    if sectors is None or sectors.by == "block":
        return True
    shapes = {
        (weight, group.rows, group.columns)
        for group in plan.groups
        if group.generated
        for weight in group.weights.tolist()
    }
    columns = (sectors.weight.tolist(), sectors.rows.tolist(), sectors.columns.tolist())
    return set(zip(*columns, strict=True)) <= shapes


def _most_rows(plan: Plan, itemsize: int, budget: int) -> int:
    """The most rows whose evaluation fits, at most `_ROWS`; 0 if not one does."""
    fit, too_many = 0, _ROWS + 1
    while too_many - fit > 1:
        rows = (fit + too_many) // 2
        if peak(plan, rows, itemsize).bytes <= budget:
            fit = rows
        else:
            too_many = rows
    return fit


class _Finer:
    """Plans in ever finer blocks, until they get no finer; each is lowered once."""

    def __init__(self, circuit: Circuit, dtype: str, numerics: str, level_order: Plan) -> None:
        self.circuit, self.dtype, self.numerics = circuit, dtype, numerics
        self.known = {0: level_order}

    def __iter__(self) -> Iterator[tuple[int, Plan]]:
        before = 0
        for splits in _SPLITS:
            plan = self._plan(splits)
            if len(plan.layers) == before:
                return
            before = len(plan.layers)
            yield splits, plan

    def _plan(self, splits: int) -> Plan:
        if splits not in self.known:
            self.known[splits] = lower(
                self.circuit, dtype=self.dtype, numerics=self.numerics, splits=splits
            )
        return self.known[splits]


def training_bytes(plan: Plan, itemsize: int) -> tuple[float, float]:
    """Predicted bytes of values and gradients for each row of data, and of weights, once."""
    per_row = _KEPT * plan.cost(1).all_values * itemsize
    groups = plan.groups
    entries = sum(
        len(use.index) * groups[use.group].rows * groups[use.group].columns for use in plan.uses
    )
    generated = isinstance(plan.generator, Hypernetwork)
    return per_row, (7.2 if generated else 4.4) * entries * itemsize


class Budgeted:
    """Evaluates a model by its schedule."""

    def __init__(self, model: Evaluator, schedule: Schedule, plan: Plan) -> None:
        self.model, self.schedule, self.plan = model, schedule, plan
        self.engine = Engine(plan, model.device)
        self.weights = LazyWeights(model.weights, plan)
        self.leaves = LeafInputs(plan, model.device, model.dtype)

    def __call__(self, x: Tensor, complete: bool) -> Tensor:
        """Log-likelihood of rows, shape ``(batch,)``; differentiable where gradients are asked for.

        Raises:
            OptionError: If gradients are asked for, and not even one row fits.
        """
        tensors = (x, *self.model.parameters())
        if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            return self.differentiable(x, complete)
        return self.evaluate(x)

    @torch.no_grad()
    def evaluate(self, x: Tensor) -> Tensor:
        """Log-likelihood of rows, shape ``(batch,)``, without gradients."""
        out = x.new_empty(len(x))
        for start in range(0, len(x), self.schedule.rows):
            part = x[start : start + self.schedule.rows]
            if self.roomy:
                out[start : start + len(part)] = self.model.evaluate_kept(part)
                continue
            inputs = LazyInputs(self.leaves, self.weights, part)
            out[start : start + len(part)] = Streamed(self.engine, inputs, self.weights).run()
        self.weights.kept.clear()
        lacks = self.plan.log_scale and not self.roomy
        return out + self.plan.log_scale if lacks else out

    @property
    def roomy(self) -> bool:
        """Whether the ordinary evaluation, which is quicker in level order, fits as well."""
        scheduled = self.schedule
        return scheduled.splits == 0 and _ORDINARY * scheduled.bytes <= scheduled.budget

    @cached_property
    def segments(self) -> tuple[Engine, LazyWeights, LeafInputs, Segments] | None:
        """What evaluates segments again; ``None`` where parts of the data are enough."""
        splits, model = self.schedule.training_splits, self.model
        if splits == 0:
            return None
        plan = lower(model.circuit, dtype=model.precision, numerics=model.numerics, splits=splits)
        engine = Engine(plan, model.device)
        engine.lookup = [False] * len(plan.layers)  # lookups need all readers at once
        leaves = LeafInputs(plan, model.device, model.dtype)
        return engine, LazyWeights(model.weights, plan), leaves, best_segments(plan)

    def in_segments(self, x: Tensor, grad: Tensor) -> list[Tensor]:
        """Gradients of the data if asked for, and of trained parameters: segments run again."""
        if self.segments is None:
            raise AssertionError("asked for with segments only")  # pragma: no cover
        engine, weights, leaves, cut = self.segments
        named = dict(self.model.weights.values.items())
        totals = {name: torch.zeros_like(p) for name, p in named.items()}
        size = self.schedule.training_rows
        slopes: list[Tensor] = []
        for part, more in zip(_parts(x, size), grad.split(size), strict=True):
            inputs = LazyInputs(leaves, weights, part)
            slopes.append(recomputed_gradients(engine, inputs, weights, cut, more, totals))
        trained = [totals[name] for name, p in named.items() if p.requires_grad]
        return [torch.cat(slopes), *trained] if x.requires_grad else trained

    def differentiable(self, x: Tensor, complete: bool) -> Tensor:
        """Log-likelihood of rows; the way back evaluates a few rows at a time again.

        Raises:
            OptionError: If not even one row fits.
        """
        if self.schedule.training_rows < 1:
            one_row = int(sum(training_bytes(self.model.plan, self.model.dtype.itemsize)))
            raise OptionError.of(
                "PC372",
                f"memory_budget is {size_text(self.schedule.budget)}, but the gradient of one row "
                f"takes about {size_text(one_row)}",
                help="allow more, or evaluate under torch.no_grad()",
            )
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        result: Tensor = _Recomputed.apply(self, x, complete, *parameters)  # type: ignore[no-untyped-call]  # torch's stub
        return result


class _Recomputed(torch.autograd.Function):
    """Forward in blocks without keeping values; backward part by part in level order."""

    @staticmethod
    def forward(ctx: Any, budgeted: Budgeted, x: Tensor, complete: bool, *_: Tensor) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.budgeted, ctx.complete = budgeted, complete
        ctx.save_for_backward(x)
        return budgeted.evaluate(x)

    @staticmethod
    @first_order
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override, unused-ignore]  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        needs_x = x.requires_grad
        budgeted: Budgeted = ctx.budgeted
        if budgeted.segments is not None:
            found = budgeted.in_segments(x, grads[0])
        else:
            found = _by_parts(budgeted, x, ctx.complete, grads[0])
        return (None, *(found[:1] if needs_x else [None]), None, *found[needs_x:])


def _by_parts(budgeted: Budgeted, x: Tensor, complete: bool, grad: Tensor) -> list[Tensor]:
    """Gradients of the data if asked for, and of trained parameters: a few rows at a time."""
    model, size = budgeted.model, budgeted.schedule.training_rows
    parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in parameters]
    slopes: list[Tensor] = []
    for part, above in zip(_parts(x, size), grad.split(size), strict=True):
        found = _gradient(model, part, complete, parameters, above)
        if x.requires_grad:
            slopes.append(found.pop(0))
        for sum_, more in zip(total, found, strict=True):
            sum_ += more
    return [torch.cat(slopes), *total] if x.requires_grad else total


def _parts(x: Tensor, size: int) -> list[Tensor]:
    """The rows in parts that require a gradient if they all do."""
    return [part.detach().requires_grad_(x.requires_grad) for part in x.split(size)]


def _gradient(
    model: Evaluator, x: Tensor, complete: bool, parameters: list[Tensor], grad: Tensor
) -> list[Tensor]:
    """Of some rows; what it kept is gone when it returns."""
    wanted = [x, *parameters] if x.requires_grad else parameters
    with torch.enable_grad():
        value = model.evaluate_kept(x, complete)
    return list(torch.autograd.grad(value, wanted, grad))
