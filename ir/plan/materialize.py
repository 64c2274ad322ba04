"""Computes weights from trainable parameters in float64 NumPy: the reference for backends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.families.supports import split
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.parameters import Layout, parameter_name
from pccompiler.ir.plan.plan import Plan

Float = NDArray[np.float64]


def materialize(
    plan: Plan, layout: Layout, parameters: Mapping[str, NDArray[np.floating]]
) -> list[Float]:
    """The weights of every group, shape ``(weights, rows, columns)``.

    Mixture weights, and leaf parameters as defined by `pccompiler.ir.Family`.
    """
    tables = {name: np.asarray(value, np.float64) for name, value in parameters.items()}
    flat = _flat_sectors(plan, layout, tables)
    weights: list[Float] = []
    for number, group in enumerate(plan.groups):
        shape = (len(group.weights), group.rows, group.columns)
        if group.generated:
            where = layout.assembly[number]
            raw = flat[slice(*where)] if isinstance(where, tuple) else flat[where]
            weights.append(constrain(raw.reshape(shape), group, plan.floor))
        else:
            weights.append(constrain(tables[parameter_name(plan, number)], group, plan.floor))
    return weights


def constrain(raw: Float, group: WeightGroup, floor: float) -> Float:
    """Weights from unconstrained numbers, under the generator's ``floor``."""
    parts = split(raw, group.parameters)
    return np.concatenate([p.support.constrain(part, floor) for p, part in parts], axis=-1)


def unconstrain(weights: Float, group: WeightGroup) -> Float:
    """Unconstrained numbers that give ``weights`` under a floor of 0."""
    parts = split(weights, group.parameters)
    return np.concatenate([p.support.unconstrain(part) for p, part in parts], axis=-1)


def _flat_sectors(plan: Plan, layout: Layout, tables: Mapping[str, Float]) -> Float:
    """Raw logits of all sectors, head by head, flattened."""
    pieces = [np.zeros(0)]
    for head in layout.heads:
        codes = tables[plan.generator.table][head.sectors]
        pieces.append(plan.generator.logits(codes, head, tables).ravel())
    return np.concatenate(pieces)


def by_weight(plan: Plan, values: Sequence[Float]) -> dict[int, Float]:
    """Maps circuit weight ids to values of shape (rows, columns), from stacked groups."""
    return {
        int(weight): values[number][place]
        for number, group in enumerate(plan.groups)
        for place, weight in enumerate(group.weights)
    }


def by_group(plan: Plan, values: Mapping[int, Float]) -> list[Float]:
    """Stacked groups, from values by circuit weight id; the inverse of `by_weight`."""
    return [np.stack([values[int(weight)] for weight in group.weights]) for group in plan.groups]
