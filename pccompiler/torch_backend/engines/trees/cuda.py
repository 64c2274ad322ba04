"""Trees of small regions on CUDA, in kernels that stream rows through warps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.log import say_once
from pccompiler.torch_backend.engines.base import Engine, Evaluate, NoMatch, Target
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Descent, Task, Wanted
from pccompiler.torch_backend.engines.trees.arranged import Arranged, Source
from pccompiler.torch_backend.engines.trees.cuda_weights import Generated
from pccompiler.torch_backend.engines.trees.launch import Launcher
from pccompiler.torch_backend.engines.trees.match import root_order
from pccompiler.torch_backend.engines.trees.warps import Arrangement, arrange
from pccompiler.torch_backend.weights.weights import Weights

MOST_UNITS = 8
"""With more units, a lane's weights and their gradients do not fit in its registers."""


class TreesOnCUDA(Engine):
    """A circuit of small regions in trees, in float32 on a GPU."""

    name = "trees-cuda"
    answers = frozenset({Wanted.VALUE, Wanted.GRADIENT})
    only_device, only_dtype = "cuda", torch.float32
    in_kernels = True
    most_rows = 2**18  # launches count blocks of rows in 16 bits

    launcher: Launcher
    source: Source
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
        self.launcher = Launcher(self.trees, self.target.device)
        try:
            self.source = Generated(self.launcher, weights)
        except NoMatch as why:
            say_once(f"torch computes the weights for the fused kernels: {why}")
            self.source = Arranged(self.launcher)
        order = root_order(self.plan)
        self.order = None if order is None else torch.from_numpy(order).to(self.target.device)

    def launches(self, wanted: Wanted) -> int | None:
        """See `Engine`. How gradients are summed depends on the device."""
        if wanted is Wanted.GRADIENT:
            return None
        return 1 + len(self.trees.stages) + self.mixed

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
        flat = weights.by_group((group,))[group].flatten()
        share = flat if self.order is None else flat.index_select(0, self.order)
        return [share.contiguous(), *tensors]

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`."""
        rows = len(batch.x)
        weights = self.source.make(operands[self.mixed :])
        codes = self.launcher.pack(batch.x, batch.complete)
        roots, pieces = self.launcher.up(codes, rows, weights, batch.complete)
        values = self.launcher.mix(roots, operands[0]) if self.mixed else roots[0].clone()
        return values, Ascent((codes, weights, pieces, roots, values, *operands), batch.complete)

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`."""
        codes, weights, pieces, roots, values, *operands = ascent.saved
        above, share = task.flows.contiguous(), list[Tensor]()
        each = above.unsqueeze(0)
        if self.mixed:
            each, found = self.launcher.unmix(roots, operands[0], values, above)
            share = [found]
        grads = self.launcher.down(codes, weights, pieces, each, ascent.kept)
        own = self.source.back(grads, len(values), operands[self.mixed :])
        return Descent((*share, *own))
