"""Evaluates plans over arenas of values, a few rows of data at a time, so that they fit caches.

The way down evaluates each chunk again instead of keeping values: memory does not grow with the
batch, and values are still in the cache when flows need them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.arena.program import BagStep, InputStep, Program, program_of
from pccompiler.torch_backend.engines.arena.sweeps import Flows, Gradients, Sweep, certain_root
from pccompiler.torch_backend.engines.arena.tables import Tables, tables_of
from pccompiler.torch_backend.engines.arena.topdown import ascend, descend
from pccompiler.torch_backend.engines.base import Engine, Evaluate, Target
from pccompiler.torch_backend.engines.counting import Counted, Counting
from pccompiler.torch_backend.engines.questions import (
    QUERIES,
    Ascent,
    Batch,
    Descent,
    Task,
    Wanted,
)
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.runtime.threads import one_thread
from pccompiler.torch_backend.values import has_table
from pccompiler.torch_backend.weights.weights import Weights

_CACHE_BYTES = 2**23
"""Bytes of a chunk's values on a CPU: 2**22 to 2**24 measured best on 32 MiB of L3."""
_LEAST_ROWS = 16
"""Minimum rows of a chunk: one cache line for each value."""
_DEVICE_BYTES = 2**30
"""Bytes of a chunk's values on an accelerator."""
_DEEP = 32
"""Programs with more steps use float64 logarithms when only values are wanted.

Each step rounds the sum so far, equal terms in the same direction, so d steps make a relative
error of up to d 2**-25, here 1e-6. Measured on a chain of 400 steps: 7e-6.
"""


class _Kept(NamedTuple):
    """What is counted, if counts are wanted, and the layers whose log-values are given."""

    counted: Counted | None
    given: tuple[int, ...]


class Arena(Engine):
    """Evaluates a plan as steps over one arena: packed plans, and queries on any plan."""

    name = "arena"
    answers = frozenset(Wanted)
    takes_given = True
    splits = True

    program: Program
    leaves: LeafInputs
    counting: Counting

    def __init__(self, plan: Plan, target: Target) -> None:
        super().__init__(plan, target)
        inputs = [layer for layer in plan.layers if layer.kind == Kind.INPUT]
        self.inputs = len(inputs)
        self.linear = all(layer.tabular for layer in inputs)
        self.failures = 0

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`."""
        self.program = program_of(self.plan, self.target.device)
        self.leaves = LeafInputs(self.plan, self.target.device, self.target.dtype)
        self.counting = Counting(self.plan, self.leaves, weights, lookup=False)

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """See `Engine`."""
        tables, leaves = weights()
        inputs = zip(self.leaves.layers, self.leaves(batch.x, leaves), strict=True)
        return [*(batch.given.get(layer.number, made) for layer, made in inputs), *tables]

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`. Posteriors, draws and best trees are computed in log space throughout."""
        counted: Counted | None = None
        if wanted in QUERIES:
            translated = self.counting.operands(Counted(batch, operands), counts=False)
            tables = self.tables(translated, batch.given)
            values = ascend(self.program, tables, maximum=wanted is Wanted.BEST)
            return values[-1], Ascent(kept=(tables, values))
        if wanted is Wanted.COUNTS:
            counted = Counted(batch, operands)
            operands = self.counting.operands(counted)
        kept = _Kept(counted, tuple(batch.given))
        with one_thread():
            return self.evaluate(self.tables(operands, kept.given)), Ascent(operands, kept)

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`."""
        if task.wanted in QUERIES:
            tables, values = ascent.kept
            reached = descend(self.program, tables, values, *task)
            steps = [step for step in self.program.steps if isinstance(step, InputStep)]
            flows = {
                step.number: reached[step.start : step.stop].unflatten(0, (step.rows, -1))
                for step in steps
            }
            if task.wanted is Wanted.POSTERIOR:
                return Descent(leaves=flows)
            return Descent(chosen=self.leaves.reached(flows, len(self.plan.variables)))
        kept: _Kept = ascent.kept
        tables = self.tables(ascent.saved, kept.given)
        with one_thread():
            by_input, by_table, edges = self.gradients(tables, task.flows)
        weights = ascent.saved[self.inputs :]
        by_use = self._by_use(weights, by_table, edges)
        found = (*(by_input.get(n) for n in tables.inputs), *by_use)
        counted = kept.counted
        return Descent(found if counted is None else self.counting.counts(counted, found))

    def tables(self, operands: Sequence[Tensor], given: Collection[int]) -> Tables:
        """Inputs and weights by layer; log-values of ``given`` layers in place of states."""
        inputs, weights = operands[: self.inputs], operands[self.inputs :]
        return tables_of(self.plan, self.program, inputs, weights, given)

    def chunks(self, batch: int, dtype: torch.dtype) -> list[slice]:
        """The batch in chunks of equal size."""
        budget = _CACHE_BYTES if self.target.device.type == "cpu" else _DEVICE_BYTES
        most = max(_LEAST_ROWS, budget // (self.program.rows * dtype.itemsize))
        parts = -(-batch // most)
        size = -(-batch // parts) if parts else 1
        return [slice(start, min(start + size, batch)) for start in range(0, batch, size)]

    def spaces(self, dtype: torch.dtype) -> list[torch.dtype]:
        """Precisions in which linear space is tried, cheapest first.

        None on an accelerator: the host would have to wait to learn whether the result is certain,
        and a CUDA graph could not capture the step.
        """
        if not self.linear or self.failures > 2 or self.target.device.type != "cpu":
            return []
        return [dtype, torch.float64] if dtype == torch.float32 else [dtype]

    def evaluate(self, tables: Tables) -> Tensor:
        """Log-likelihood of all rows, chunk by chunk."""
        like = next(iter(tables.inputs.values()))
        out = like.new_empty(like.shape[-1])
        for part in self.chunks(len(out), like.dtype):
            out[part] = self.certain(tables.rows(part, like.dtype))
        return out

    def certain(self, tables: Tables) -> Tensor:
        """Log-likelihood of a chunk: in linear space if that is certain, otherwise in log space."""
        dtype = tables.dtype
        spaces = [] if tables.in_logs else self.spaces(dtype)
        if not spaces:
            return self.in_logs(tables, slice(None))
        out = next(iter(tables.inputs.values())).new_empty(tables.batch)
        left = torch.arange(tables.batch, device=self.target.device)
        for space in spaces:
            some = tables if len(left) == tables.batch else tables.rows(left, space)
            root = self.sweep(some.rows(slice(None), space), log=False).up()
            sure = root >= certain_root(self.program, space)
            out[left[sure]] = root[sure].log().to(dtype)
            if space == torch.float64:
                self.note(sure)
            left = left[~sure]
            if not len(left):
                return out
        out[left] = self.in_logs(tables, left)
        return out

    def in_logs(self, tables: Tables, rows: slice | Tensor) -> Tensor:
        """Log-likelihood of some rows of a chunk, in log space."""
        precise = torch.float64 if len(self.program.steps) > _DEEP else tables.dtype
        return self.sweep(tables.rows(rows, precise), log=True).up().to(tables.dtype)

    def note(self, sure: Tensor) -> None:
        """Give up linear space after three chunks in a row in which it mostly fails."""
        self.failures = 0 if 2 * int(sure.sum()) >= len(sure) else self.failures + 1

    def sweep(self, tables: Tables, log: bool) -> Sweep:
        """A sweep over a fresh arena."""
        like = next(iter(tables.inputs.values()))
        return Sweep(self.program, tables, log, like.new_empty(self.program.rows, tables.batch))

    def gradients(
        self, tables: Tables, grad: Tensor
    ) -> tuple[dict[int, Tensor], dict[int, Tensor], Tensor]:
        """Gradients of inputs and tables by layer, and of all bags' weights."""
        by_input: dict[int, list[Tensor]] = {}
        by_table: dict[int, Tensor] = {}
        edges = torch.zeros_like(tables.edges)
        for part in self.chunks(tables.batch, tables.dtype):
            found = self.descend(tables.rows(part, tables.dtype), grad[part])
            edges += found.edges
            for number, more in found.tables.items():
                by_table[number] = by_table[number] + more if number in by_table else more
            for number, more in found.inputs.items():
                by_input.setdefault(number, []).append(more)
        joined = {number: torch.cat(parts, dim=-1) for number, parts in by_input.items()}
        return joined, by_table, edges

    def descend(self, tables: Tables, grad: Tensor) -> Gradients:
        """The way down for a chunk, in linear space if all its rows are certain there."""
        spaces = [] if tables.in_logs else self.spaces(tables.dtype)
        sweep = self.sweep(tables, log=not spaces)
        root = sweep.up()
        if spaces and not bool((root >= certain_root(self.program, tables.dtype)).all()):
            sweep.log = True
            sweep.up()
        descent = Flows(sweep)
        descent.run(grad)
        return descent.gradients

    def _by_use(
        self, weights: Sequence[Tensor], by_table: dict[int, Tensor], edges: Tensor
    ) -> list[Tensor | None]:
        """Gradients in the order and shapes of ``weights``."""
        grads: list[Tensor | None] = []
        edge = 0
        for use in self.plan.uses:
            if not has_table(self.plan.layers[use.layer]):
                continue
            weight = weights[len(grads)]
            if isinstance(self.program.steps[use.layer], BagStep):
                stop = edge + weight.numel()
                grads.append(edges[edge:stop].view(weight.shape))
                edge = stop
            else:
                grads.append(by_table.get(use.layer))
        return grads
