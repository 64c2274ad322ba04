"""Inputs and weights of one evaluation over an arena, by layer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import copy

import torch
from torch import Tensor

from pccompiler.ir.families import Family
from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.arena.program import BagStep, Program
from pccompiler.torch_backend.values import has_table


class Tables:
    """Inputs and weights of one evaluation, by layer; all bags' weights in one vector.

    Args:
        inputs: Layer number to states or log-densities, as in the plan's operands.
        weights: Layer number to its weights, part by part.
        program: The program to evaluate.
        indicators: The input layers whose states are values rather than log-densities.
        in_logs: Whether log-values are given in place of states, which may be too small for linear
            space.
    """

    def __init__(
        self,
        inputs: dict[int, Tensor],
        weights: dict[int, list[Tensor]],
        program: Program,
        indicators: set[int],
        *,
        in_logs: bool = False,
    ) -> None:
        bags = {step.number for step in program.steps if isinstance(step, BagStep)}
        flat = [w.reshape(-1) for n, parts in weights.items() if n in bags for w in parts]
        self.inputs, self.indicators, self.in_logs = inputs, indicators, in_logs
        self.dense = {n: parts[0] for n, parts in weights.items() if n not in bags}
        self.edges = torch.cat(flat) if flat else next(iter(inputs.values())).new_zeros(0)
        self._logs: list[Tensor] = []  # shared by all chunks of the same precision

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the inputs and weights."""
        return self.edges.dtype

    @property
    def batch(self) -> int:
        """Number of rows of data."""
        return next(iter(self.inputs.values())).shape[-1]

    @property
    def log_edges(self) -> Tensor:
        """Logarithms of all bags' weights."""
        if not self._logs:
            self._logs.append(self.edges.log())
        return self._logs[0]

    def rows(self, part: slice | Tensor, dtype: torch.dtype) -> Tables:
        """The tables for some rows of the data, in a given precision."""
        made = copy(self)
        made.inputs = {n: x[..., part].to(dtype) for n, x in self.inputs.items()}
        if dtype != self.dtype:
            made.dense = {n: w.to(dtype) for n, w in self.dense.items()}
            made.edges, made._logs = self.edges.to(dtype), []
        return made


def tables_by_layer(plan: Plan, weights: Sequence[Tensor]) -> dict[int, list[Tensor]]:
    """Weights by layer, part by part, from the plan's operands."""
    given = iter(weights)
    by_layer: dict[int, list[Tensor]] = {}
    for use in plan.uses:
        if has_table(plan.layers[use.layer]):
            by_layer.setdefault(use.layer, []).append(next(given))
    return by_layer


def tables_of(
    plan: Plan,
    program: Program,
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor],
    given: Collection[int] = (),
) -> Tables:
    """Inputs and weights of one evaluation by layer, from the plan's operands.

    Layers that are ``given`` have log-values in place of states, and need no tables.
    """
    by_layer = tables_by_layer(plan, weights)
    numbers = [n for n, layer in enumerate(plan.layers) if layer.kind == Kind.INPUT]
    indicators = {n for n in numbers if plan.layers[n].family == Family.INDICATOR}
    kept = {n: tables for n, tables in by_layer.items() if n not in given}
    states = dict(zip(numbers, inputs, strict=True))
    return Tables(states, kept, program, indicators - set(given), in_logs=len(given) > 0)
