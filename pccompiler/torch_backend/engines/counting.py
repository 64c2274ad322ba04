"""Counts and queries for engines whose operands are the plan's: inputs, then tables by use.

In counts, a missing value gives the table of a leaf no counts: it is one more state, of
probability 1, whose column is dropped again. (A sum over indicators may get expected counts for a
missing value, in proportion to its weights, which is the expectation over the value.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.questions import Batch
from pccompiler.torch_backend.leaves.inputs import LeafInputs, LeafLayer
from pccompiler.torch_backend.values import has_table
from pccompiler.torch_backend.weights.weights import Weights


class Counted(NamedTuple):
    """What is counted: rows, and tables by group, then log-densities of leaves without tables."""

    batch: Batch
    given: Sequence[Tensor]


class Counting:
    """Translates operands by group to the plan's, and gradients to counts."""

    def __init__(self, plan: Plan, leaves: LeafInputs, weights: Weights, *, lookup: bool) -> None:
        self.plan, self.leaves, self.weights, self.lookup = plan, leaves, weights, lookup
        self.is_leaf = [not plan.groups[number].is_sum for number in weights.tables]

    def operands(self, counted: Counted, *, counts: bool = True) -> list[Tensor]:
        """The plan's operands; for queries (without ``counts``) a missing value is all states."""
        batch, given = counted
        number = len(self.is_leaf)
        densities = iter(given[number:])
        columns = batch.x.t().contiguous()
        plain = batch.complete or not counts
        inputs: list[Tensor] = []
        for layer in self.leaves.layers:
            if layer.states == 0 or layer.number in batch.given:
                inputs.append(next(densities))
            else:
                inputs.append(self._states(layer, layer.column(columns), plain))
        tables = [
            table if plain or not leaf else _with_missing(table)
            for table, leaf in zip(given[:number], self.is_leaf, strict=True)
        ]
        return [*inputs, *self.weights.by_use(tables)]

    def counts(self, counted: Counted, gradients: Sequence[Tensor | None]) -> list[Tensor]:
        """Counts, and flows of units, from gradients of what `operands` returned."""
        batch, given = counted
        inputs = len(self.leaves.layers)
        densities = [
            _known(gradients[place])
            for place, layer in enumerate(self.leaves.layers)
            if layer.states == 0
        ]
        found = self.weights.by_table([_known(gradient) for gradient in gradients[inputs:]])
        counts = [
            (gradient if batch.complete or not leaf else gradient[..., :-1]) * table
            for gradient, table, leaf in zip(found, given, self.is_leaf, strict=False)
        ]
        return [*counts, *densities]

    def _states(self, layer: LeafLayer, column: Tensor, plain: bool) -> Tensor:
        states = layer.table_input(column, self.lookup)
        if plain or not has_table(self.plan.layers[layer.number]):
            return states
        if not states.is_floating_point():  # codes: the missing value is the next state
            return states + (states > layer.states)
        missing = column.isnan()
        seen = states.masked_fill(missing, 0.0)
        return torch.cat([seen, missing.to(seen.dtype)], dim=1)


def _known(gradient: Tensor | None) -> Tensor:
    if gradient is None:
        raise AssertionError("the root depends on all operands")  # pragma: no cover
    return gradient


def _with_missing(table: Tensor) -> Tensor:
    """The table with another column of ones, for the state "missing"."""
    return torch.cat([table, torch.ones_like(table[..., :1])], dim=-1)
