"""Random binary region trees: RAT-SPNs as in the HyperSPN paper."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pccompiler.ir import Builder, Circuit, Family, Variable
from pccompiler.ir.arrays import Int
from pccompiler.options import seed_of, whole
from pccompiler.structures.tools.common import Leaf, affordable, as_variables, leaf_families


def rat_spn(
    num_variables: int | Sequence[Variable],
    num_replicas: int = 50,
    units: int = 5,
    seed: int = 0,
    *,
    depth: int | None = None,
    leaf: Leaf = "auto",
) -> Circuit:
    """A mixture of random region trees, one for each replica.

    Each replica puts the variables in a random order, gives each a leaf region, and joins
    neighbours level by level; the last region of an odd level joins the last pair. A region is a
    dense sum of ``units`` units (k x 2 over the indicators of a binary leaf, k x k inside, 1 x k at
    the root), a join is an elementwise product, and a mixture at the top combines the replicas.

    Args:
        num_variables: Number of binary variables, or a sequence of `Variable`.
        num_replicas: Number of trees, r.
        units: Width of the sums, k.
        seed: Seed of the random orders.
        depth: Joins between a leaf region and the root; ``None`` joins down to single variables.
            With fewer, a leaf region is a factorized distribution over several variables.
        leaf: ``"indicator"``: dense sums over the indicators of discrete variables.
            ``"bernoulli"``, ``"categorical"``, ``"gaussian"``: ``units`` such distributions for
            each variable and replica. ``"auto"``: indicators, and the usual family of other
            variables. Or one name per variable, in a sequence or a mapping.

    Raises:
        OptionError: If a number is too small, or the leaves do not fit the variables.

    Source:
        Shih, Sadigh and Ermon (2021), section 5 and figure 2; Peharz et al. (2019), "Random
        Sum-Product Networks".
    """
    variables = as_variables(num_variables)
    num_replicas, units = whole("num_replicas", num_replicas), whole("units", units)
    depth = None if depth is None else whole("depth", depth, 0)
    affordable(num_replicas, len(variables), what="replicas x variables")
    builder = Builder(variables)
    rng = np.random.default_rng(seed_of(seed))
    orders = np.stack([rng.permutation(len(variables)) for _ in range(num_replicas)])
    regions = _leaves(builder, variables, orders, units, leaf)
    for groups in _joins(len(variables), depth):
        last = len(groups) == 1
        regions = _join(builder, regions, groups, 1 if last else units)
    if len(variables) == 1:
        regions = builder.sums(regions.reshape(-1, 1), 1).reshape(num_replicas, 1)
    return builder.build(int(builder.mixtures(regions.T)[0]))


def _leaves(
    builder: Builder, variables: Sequence[Variable], orders: Int, units: int, leaf: Leaf
) -> Int:
    """Leaf regions in the order of each replica, shape (replicas, variables)."""
    regions = np.empty_like(orders)
    families = leaf_families(variables, leaf)
    for family in sorted(set(families)):
        mine = np.array([f == family for f in families])
        where = mine[orders]
        if family == Family.INDICATOR:  # shared by all replicas
            inputs = np.zeros(len(variables), np.int64)
            inputs[mine] = builder.inputs(np.flatnonzero(mine), family)
            regions[where] = builder.sums(inputs[orders[where]], units)
        else:
            regions[where] = builder.inputs(orders[where], family, units)
    return regions


def _joins(number: int, depth: int | None) -> list[list[slice]]:
    """For each level, the neighbouring regions that each new region joins."""
    levels: list[list[slice]] = []
    while number > 1:
        half = number // 2
        groups = [slice(2 * j, 2 * j + 2) for j in range(half)]
        groups[-1] = slice(2 * half - 2, number)  # an odd level's last region joins the last pair
        levels.append(groups)
        number = half
    if depth is None or depth >= len(levels):
        return levels
    merged = levels[0]
    for groups in levels[1 : len(levels) - depth]:
        merged = [slice(merged[g.start].start, merged[g.stop - 1].stop) for g in groups]
    return [merged, *levels[len(levels) - depth :]]


def _join(builder: Builder, regions: Int, groups: list[slice], units: int) -> Int:
    """Products of neighbours, each under a dense sum; one bulk call for each arity."""
    replicas = len(regions)
    arity = np.array([g.stop - g.start for g in groups])
    products = np.empty((replicas, len(groups)), np.int64)
    for size in np.unique(arity).tolist():
        members = np.flatnonzero(arity == size)
        columns = np.array([groups[m].start for m in members])[:, None] + np.arange(size)
        operands = regions[:, columns].reshape(-1, size)
        products[:, members] = builder.products(operands).reshape(replicas, -1)
    return builder.sums(products.reshape(-1, 1), units).reshape(replicas, -1)
