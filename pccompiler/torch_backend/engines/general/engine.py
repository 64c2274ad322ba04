"""What the general engines on CPU and GPU have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Self

from torch import Tensor

from pccompiler.ir.kinds import Kind
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

    answers = frozenset(Wanted)
    in_kernels = True

    leaves: LeafInputs

    def __init__(self, plan: Plan, target: Target, program: Program) -> None:
        super().__init__(plan, target)
        self.program = program

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> Self:
        """See `Engine`: any plan whose slots can be numbered."""
        return cls(plan, target, program_of(plan))

    @cached_property
    def queries(self) -> Program:
        """The program for queries, which ask for the flows of states."""
        return program_of(self.plan, states=True)

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`."""
        self.leaves = LeafInputs(self.plan, self.target.device, self.target.dtype)

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """See `Engine`."""
        return operands_by_group(weights, self.leaves, batch.x)


def by_layer(plan: Plan, flat: Tensor, rows: int) -> dict[int, Tensor]:
    """Views of the flows of all leaf units, by input layer, shape (rows, units, batch)."""
    inputs = {n: layer for n, layer in enumerate(plan.layers) if layer.kind == Kind.INPUT}
    shapes = [(layer.rows, layer.units, rows) for layer in inputs.values()]
    return dict(zip(inputs, split_into(flat, shapes), strict=True))


def split_into(flat: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Views of consecutive pieces of a flat tensor."""
    pieces = flat.view(-1).split([prod(shape) for shape in shapes])
    return [piece.view(*shape) for piece, shape in zip(pieces, shapes, strict=True)]
