"""What the general engines on CPU and GPU have in common."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
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

    answers = frozenset(Wanted)
    in_kernels = True

    leaves: LeafInputs

    def __init__(self, plan: Plan, target: Target, program: Program) -> None:
        super().__init__(plan, target)
        self.program = program
        self.programs: dict[tuple[bool, frozenset[int]], Program] = {(False, frozenset()): program}

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> Self:
        """See `Engine`: any plan whose slots can be numbered."""
        return cls(plan, target, program_of(plan))

    @cached_property
    def queries(self) -> Program:
        """The program for queries, which ask for the flows of states."""
        return self.program_for(True, ())

    def program_for(self, states: bool, given: Collection[int]) -> Program:
        """The program with ``states`` for queries, in which log-values of some leaves are given."""
        key = states, frozenset(given)
        if key not in self.programs:
            self.programs[key] = program_of(self.plan, states=states, given=key[1])
        return self.programs[key]

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`."""
        self.leaves = LeafInputs(self.plan, self.target.device, self.target.dtype)

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """See `Engine`."""
        return operands_by_group(weights, self.leaves, batch.x, batch.given)
