"""The variables of each leaf weight: one, or several if leaves share it."""

from __future__ import annotations

import numpy as np

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.torch_backend.leaves.fitting.columns import Columns


def leaf_owners(circuit: Circuit) -> Int:
    """Weights of leaves with their variables, shape ``(pairs, 2)``, in ascending order.

    A dense sum over the indicators of one variable counts as a categorical leaf.
    """
    nodes = np.flatnonzero((circuit.kind == Kind.INPUT) & (circuit.weight >= 0))
    sums = np.flatnonzero((circuit.kind == Kind.SUM) & (circuit.fan_in == 1))
    below = circuit.operands[circuit.pointer[sums]]
    like = circuit.family[below] == Family.INDICATOR
    sums, below = sums[like], below[like]
    pairs = [(circuit.weight[nodes], circuit.variable[nodes])]
    if len(sums):
        others = np.flatnonzero((circuit.weight >= 0) & (circuit.kind != Kind.INPUT))
        others = np.setdiff1d(others, sums, assume_unique=True)
        alone = ~np.isin(circuit.weight[sums], circuit.weight[others])
        pairs.append((circuit.weight[sums[alone]], circuit.variable[below[alone]]))
    table = np.concatenate([np.stack(pair, axis=1) for pair in pairs])
    return np.unique(table, axis=0)


def leaf_pools(owners: Int, group: WeightGroup, columns: Columns) -> tuple[Int, Int]:
    """Positions of leaf weights in ``group``, and the pool of each, both ``(weights,)``."""
    mine = owners[np.isin(owners[:, 0], group.weights)]
    weights, first, number = np.unique(mine[:, 0], return_index=True, return_counts=True)
    pools = mine[first, 1].copy()
    for place in np.flatnonzero(number > 1).tolist():
        members = mine[first[place] : first[place] + number[place], 1]
        pools[place] = columns.pool(tuple(members.tolist()))
    return np.searchsorted(group.weights, weights), pools
