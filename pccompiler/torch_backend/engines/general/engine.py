"""What the general engines on CPU and GPU have in common."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Self

from torch import Tensor

from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import Engine, Evaluate, Target
from pccompiler.torch_backend.engines.general.code import Program, program_of
from pccompiler.torch_backend.engines.questions import Batch, Wanted
from pccompiler.torch_backend.engines.tables_by_group import operands_by_group
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.weights.weights import Weights


class General(Engine):
    """Interprets any plan as a list of instructions.

    Its operands are tables of weights by group, then log-densities of leaves without tables.
    """

    answers = frozenset({Wanted.VALUE, Wanted.GRADIENT, Wanted.COUNTS})
    in_kernels = True

    leaves: LeafInputs

    def __init__(self, plan: Plan, target: Target, program: Program) -> None:
        super().__init__(plan, target)
        self.program = program

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> Self:
        """See `Engine`: any plan whose slots can be numbered."""
        return cls(plan, target, program_of(plan))

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`."""
        self.leaves = LeafInputs(self.plan, self.target.device, self.target.dtype)

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """See `Engine`."""
        return operands_by_group(weights, self.leaves, batch.x)


def split_into(flat: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Views of consecutive pieces of a flat tensor."""
    pieces = flat.view(-1).split([prod(shape) for shape in shapes])
    return [piece.view(*shape) for piece, shape in zip(pieces, shapes, strict=True)]
