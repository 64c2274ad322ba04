"""Trees of small regions on CUDA, in kernels that stream rows through warps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.log import say_once
from pccompiler.torch_backend.engines.base import Engine, Evaluate, NoMatch, Target
from pccompiler.torch_backend.engines.flat import by_layer
from pccompiler.torch_backend.engines.questions import (
    BY_GROUP,
    QUERIES,
    Ascent,
    Batch,
    Descent,
    Task,
    Wanted,
)
from pccompiler.torch_backend.engines.trees.arranged import Arranged, Source
from pccompiler.torch_backend.engines.trees.cuda_weights import Generated
from pccompiler.torch_backend.engines.trees.launch import Launcher
from pccompiler.torch_backend.engines.trees.match import root_order
from pccompiler.torch_backend.engines.trees.warps import Arrangement, arrange
from pccompiler.torch_backend.weights.weights import Weights

MOST_UNITS = 8
"""With more units, a lane's weights and their gradients do not fit in its registers."""
_DRAWS = 2**16
"""The most draws from one row at once, which is evaluated once for each."""


class TreesOnCUDA(Engine):
    """A circuit of small regions in trees, in float32 on a GPU."""

    name = "trees-cuda"
    answers = frozenset(Wanted)
    only_device, only_dtype = "cuda", torch.float32
    in_kernels = True
    most_rows = 2**18  # launches count blocks of rows in 16 bits

    launcher: Launcher
    source: Source
    arranged: Arranged
    weights: Weights
    order: Tensor | None

    def __init__(self, plan: Plan, target: Target, trees: Arrangement) -> None:
        super().__init__(plan, target)
        self.trees = trees

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> TreesOnCUDA:
        """See `Engine`: trees of small regions over binary leaves."""
        trees = arrange(plan)
        if trees.units > MOST_UNITS:
            raise NoMatch(f"regions have {trees.units} units, more than {MOST_UNITS}")
        return cls(plan, target, trees)

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`."""
        self.launcher, self.weights = Launcher(self.trees, self.target.device), weights
        self.arranged = Arranged(self.launcher)
        try:
            self.source = Generated(self.launcher, weights)
        except NoMatch as why:
            say_once(f"torch computes the weights for the fused kernels: {why}")
            self.source = self.arranged
        order = root_order(self.plan)
        self.order = None if order is None else torch.from_numpy(order).to(self.target.device)

    def launches(self, wanted: Wanted) -> int | None:
        """See `Engine`. How gradients are summed depends on the device."""
        if wanted is not Wanted.VALUE:
            return None
        return 1 + len(self.trees.stages) + self.mixed

    @cached_property
    def row_bytes(self) -> int:
        """See `Engine`: values and flows of pieces and roots, and flows of leaves."""
        pieces = 2 * self.trees.pieces * ((self.trees.units + 4) & ~3)
        return 4 * (pieces + 2 * self.trees.roots + 4 * len(self.trees.inputs))

    @property
    def mixed(self) -> bool:
        """Whether the root mixes several trees."""
        return self.plan.layers[-1].kind == Kind.MIXTURE

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """The mixture weights of the roots, in their order; then what weights are made from."""
        tensors = self.source.tensors(weights)
        if not self.mixed:
            return tensors
        group = self.plan.layers[-1].group
        return [self._share(weights.by_group((group,))[group]), *tensors]

    def _share(self, table: Tensor) -> Tensor:
        """The mixture's weights in the order of the roots."""
        flat = table.flatten()
        return (flat if self.order is None else flat.index_select(0, self.order)).contiguous()

    def _arrange(self, tables: Sequence[Tensor]) -> list[Tensor]:
        """The same operands from tables by group; none is a parameter."""
        own = self.weights
        given = dict(zip(own.tables, tables, strict=True))
        ordered = own.by_group(given, given=given)
        tensors = [ordered[group].contiguous() for group in self.arranged.slots]
        return (
            [self._share(ordered[self.plan.layers[-1].group]), *tensors] if self.mixed else tensors
        )

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`."""
        rows, source, complete = len(batch.x), self.source, batch.complete
        if wanted in BY_GROUP:
            source, operands = self.arranged, self._arrange(operands)
            complete &= wanted is Wanted.COUNTS
        weights = source.make(operands[self.mixed :])
        codes = self.launcher.pack(batch.x, complete)
        roots, pieces = self.launcher.up(codes, rows, weights, complete, wanted)
        mix = self.launcher.mix
        values = mix(roots, operands[0], wanted) if self.mixed else roots[0].clone()
        saved = codes, weights, pieces, roots, values, *operands
        return values, Ascent(saved, Batch(batch.x, complete))

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`."""
        if task.wanted in QUERIES:
            return self._answer(ascent, task)
        codes, weights, pieces, roots, values, *operands = ascent.saved
        above, share = task.flows.contiguous(), list[Tensor]()
        counts = task.wanted is Wanted.COUNTS
        each = above.unsqueeze(0)
        if self.mixed:
            each, found = self.launcher.unmix(roots, operands[0], values, above)
            share = [found]
        grads = self.launcher.down(codes, weights, pieces, each, ascent.kept.complete, task.wanted)
        source = self.arranged if counts else self.source
        own = source.back(grads, len(values), operands[self.mixed :])
        if not counts:
            return Descent((*share, *own))
        by_group = dict(zip(self.arranged.slots, own, strict=True))
        if self.mixed:
            found = share[0] * operands[0]
            by_group[self.plan.layers[-1].group] = self._by_column(found)
        return Descent([self.weights.added(n, by_group[n]) for n in self.weights.tables])

    def _answer(self, ascent: Ascent, task: Task) -> Descent:
        """The way down for queries."""
        codes, weights, pieces, roots, values, *operands = ascent.saved
        if task.wanted is Wanted.POSTERIOR:
            each = task.flows.unsqueeze(0).contiguous()
            if self.mixed:
                each, _ = self.launcher.unmix(roots, operands[0], values, each[0])
            found = self.launcher.posterior(codes, weights, pieces, each)
            return Descent(leaves=by_layer(self.plan, found, len(task.flows)))
        share, parts = operands[0] if self.mixed else None, list[Tensor]()
        several = len(ascent.kept.x) == 1 and len(task.flows) != 1
        for flows in task.flows.split(_DRAWS) if several else (task.flows,):
            if several:  # draws from one row
                rows = ascent.kept.x.expand(len(flows), -1)
                codes = self.launcher.pack(rows, False)
                roots, pieces = self.launcher.up(codes, len(rows), weights, False, task.wanted)
            key = task.key(values.device)
            given = codes, weights, pieces
            parts.append(self.launcher.choose(given, roots, share, key, task.wanted))
        return Descent(chosen=torch.cat(parts, 1))

    def _by_column(self, shares: Tensor) -> Tensor:
        """What the roots have, as a table of the mixture."""
        flat = shares
        if self.order is not None:
            flat = torch.empty_like(shares)
            flat[self.order] = shares
        return flat.view(1, 1, -1)
