"""Trees of small regions on a CPU, in C: one tree and one block of rows at a time, in cache.

The same plans run on a GPU (`pccompiler.torch_backend.engines.trees.cuda`). Trees are distributed
over threads, each with weights of its own, so results are reproducible bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import Engine, Evaluate, NoMatch, Target
from pccompiler.torch_backend.engines.flat import by_layer
from pccompiler.torch_backend.engines.questions import (
    BY_GROUP,
    Ascent,
    Batch,
    Descent,
    Task,
    Wanted,
)
from pccompiler.torch_backend.engines.trees.blocks import Blocks, Forest
from pccompiler.torch_backend.engines.trees.match import RegionTrees, read_trees, root_order
from pccompiler.torch_backend.runtime.c_compiler import say_slower
from pccompiler.torch_backend.runtime.kernel_cache import KernelError
from pccompiler.torch_backend.weights.weights import Weights

MOST_UNITS = 16
"""With more units, torch's matrix products are as fast."""


class TreesOnCPU(Engine):
    """A circuit of small regions in trees, in float32 on the CPU."""

    name = "trees-cpu"
    answers = frozenset(Wanted)
    only_device, only_dtype = "cpu", torch.float32
    in_kernels = True

    forest: Forest
    weights: Weights

    def __init__(self, plan: Plan, target: Target, regions: RegionTrees) -> None:
        super().__init__(plan, target)
        self.regions = regions
        self.mixed = plan.layers[-1].kind == Kind.MIXTURE
        order = root_order(plan)
        self.order = None if order is None else torch.from_numpy(order)

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> TreesOnCPU:
        """See `Engine`: trees of small regions over binary leaves."""
        trees = read_trees(plan)
        if trees.units > MOST_UNITS:
            raise NoMatch(f"regions have {trees.units} units, more than {MOST_UNITS}")
        return cls(plan, target, trees)

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`; a missing compiler is logged once."""
        self.weights, self.forest = weights, Forest(self.regions, weights)
        try:
            self.forest.library()
        except KernelError as why:
            say_slower(why)
            raise

    @cached_property
    def row_bytes(self) -> int:
        """See `Engine`: values and flows of roots, and states and flows of leaves."""
        return 4 * (2 * self.forest.trees + 6 * self.forest.inputs)

    def launches(self, wanted: Wanted) -> int:
        """See `Engine`: the number of calls of C functions."""
        each_way = 1 + self.mixed
        return 1 + each_way * (1 if wanted is Wanted.VALUE else 2)

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """Log-weights of the roots if they are mixed, then the weights of each group."""
        return weights.remember(self.name, lambda: self._operands(weights))

    def _operands(self, weights: Weights) -> list[Tensor]:
        mixture = [self.plan.layers[-1].group] if self.mixed else []
        made = [group for group in self.forest.own if self.plan.groups[group].generated]
        tables = weights.by_group([*made, *mixture])
        given = [tables[n] if n in tables else weights.constrained(n) for n in self.forest.own]
        return [*(self._shares(tables[group]) for group in mixture), *given]

    def _shares(self, table: Tensor) -> Tensor:
        """Logarithms of the mixture's weights, in the order of the roots."""
        share = table.flatten()
        return (share if self.order is None else share[self.order]).log()

    def _arrange(self, tables: Sequence[Tensor]) -> list[Tensor]:
        """The same operands from tables by group."""
        by_group = dict(zip(self.weights.tables, tables, strict=True))
        given = [by_group[group] for group in self.forest.own]
        if not self.mixed:
            return given
        group = self.plan.layers[-1].group
        ordered = self.weights.by_group((group,), given=by_group)
        return [self._shares(ordered[group]), *given]

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`."""
        x = batch.x
        if wanted in BY_GROUP:
            operands = self._arrange(operands)
        blocks = Blocks(self.forest, x, operands[self.mixed :], wanted)
        roots = blocks.up()
        values = blocks.mix(roots, operands[0]) if self.mixed else roots[0, : len(x)].clone()
        return values, Ascent((roots, values, *operands), blocks)

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`."""
        blocks: Blocks = ascent.kept
        roots, values, *operands = ascent.saved
        if task.wanted in (Wanted.DRAWS, Wanted.BEST):
            share = operands[0] if self.mixed else None
            return Descent(chosen=blocks.choose(roots, share, task))
        above, sums = task.flows.contiguous(), list[Tensor]()
        if self.mixed:
            flows, found = blocks.unmix(roots, operands[0], values, above)
            sums = [found]
        else:
            flows = torch.zeros_like(roots)
            flows[0, : len(above)] = above
        if task.wanted is Wanted.POSTERIOR:
            return Descent(leaves=by_layer(self.plan, blocks.leaves(flows), len(above)))
        grads = [torch.zeros_like(t) for t in operands[self.mixed :]]
        blocks.down(flows, self.forest.named(grads))
        if task.wanted is not Wanted.COUNTS:
            return Descent((*sums, *grads))
        by_group = dict(zip(self.forest.own, grads, strict=True))
        for flat in sums:  # the derivative by a logarithm is a count
            in_order = flat.clone()
            if self.order is not None:
                in_order[self.order] = flat
            group = self.plan.layers[-1].group
            by_group[group] = self.weights.added(group, in_order.view(1, 1, -1))
        return Descent([by_group[group] for group in self.weights.tables])
