"""Weights as one table for each group, which shared weights enter once.

Generated weights come use by use, in the order of the plan, since that is how they are made.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from torch import Tensor

from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.weights.weights import Weights


def operands_by_group(
    weights: Weights,
    leaves: LeafInputs,
    x: Tensor,
    given: Mapping[int, Tensor] = MappingProxyType({}),
) -> list[Tensor]:
    """The table of each group in `Weights.tables`, then log-densities of leaves without tables.

    Tables have the shape (`table_rows`, rows, columns), log-densities (rows, units, batch). Log-
    values that are ``given`` (`Batch.given`) are among the latter, in the order of their layers.
    """
    tables = weights.remember("tables", lambda: tables_by_group(weights))
    found = leaves.densities(x, weights.remember("leaves", weights.leaves))
    return [*tables, *in_order(found, given)]


def in_order(densities: Mapping[int, Tensor], given: Mapping[int, Tensor]) -> list[Tensor]:
    """Log-densities by layer, replaced and completed by given ones, in the order of layers."""
    both = {**densities, **given}
    return [both[number] for number in sorted(both)]


def tables_by_group(weights: Weights) -> list[Tensor]:
    """The table of each group in `Weights.tables`."""
    made = [number for number in weights.tables if weights.plan.groups[number].generated]
    found = weights.by_group(made) if made else {}
    return [found[n] if n in found else weights.constrained(n) for n in weights.tables]


def table_rows(plan: Plan, group: int) -> int:
    """Rows of a group's table: its weights, or if they are generated, one for each use."""
    if not plan.groups[group].generated:
        return len(plan.groups[group].weights)
    return sum(len(use.index) for use in plan.uses if use.group == group)


def places(plan: Plan) -> dict[tuple[int, int], Int]:
    """For each use (its layer and part), where its weights are in the table of their group."""
    found: dict[tuple[int, int], Int] = {}
    before = dict.fromkeys(range(len(plan.groups)), 0)
    for use in plan.uses:
        number = len(use.index)
        own = before[use.group] + np.arange(number)
        generated = plan.groups[use.group].generated
        found[use.layer, use.part] = own if generated else np.asarray(use.index)
        before[use.group] += number
    return found
