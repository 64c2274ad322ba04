"""Random region trees, with options for depth and width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from pccompiler.ir import Circuit, Variable
from pccompiler.ir.arrays import Int
from pccompiler.options import seed_of, whole
from pccompiler.structures.tools.common import Leaf, affordable, as_variables, one_of
from pccompiler.structures.tools.regions import Layers, ProductKind, RegionGraph, assemble

Split = Literal["balanced", "random"]


def random_tree(
    variables: int | Sequence[Variable],
    *,
    depth: int | None = None,
    units: int = 5,
    sum_units: int | None = None,
    input_units: int | None = None,
    replicas: int = 1,
    arity: int = 2,
    split: Split = "balanced",
    product: ProductKind = "elementwise",
    leaf: Leaf = "auto",
    seed: int = 0,
) -> Circuit:
    """A mixture of random region trees, each from cutting a random variable order recursively.

    Each region is a dense sum over the product of its parts; one dense sum of one unit combines
    all replicas. A region that is not cut is a factorized distribution over its variables.

    Args:
        variables: Number of binary variables, or a sequence of `Variable`.
        depth: The most levels of cuts; ``None`` cuts down to single variables.
        units: Width of sums and inputs, unless one of the next two is given.
        sum_units: Width of the sums.
        input_units: Width of the inputs.
        replicas: Number of trees.
        arity: Number of parts; a region of fewer variables is cut into single variables.
        split: ``"balanced"``: sizes of parts differ by at most 1. ``"random"``: any sizes.
        product: ``"elementwise"``, or ``"kronecker"``: a product of m parts has ``units ** m``
            units.
        leaf: A leaf family, for example ``"bernoulli"``; ``"indicator"``: dense sums over
            indicators; ``"auto"``: categorical, and the usual family of other variables. Or one
            name per variable, as a sequence or a mapping by name.
        seed: Seed of the orders and the sizes.

    Raises:
        OptionError: If an option cannot be used, or the leaves do not fit the variables.

    Source:
        Peharz et al. (2019), "Random Sum-Product Networks"; Peharz et al. (2020), "Einsum
        Networks", for the Kronecker products.
    """
    variables = as_variables(variables)
    layers = Layers.of(units, sum_units, input_units, product, leaf)
    replicas, arity = whole("replicas", replicas), whole("arity", arity, 2)
    depth = None if depth is None else whole("depth", depth, 0)
    affordable(replicas, len(variables), what="replicas x variables")
    one_of("split", split, ("balanced", "random"))
    rng = np.random.default_rng(seed_of(seed))
    orders = np.stack([rng.permutation(len(variables)) for _ in range(replicas)])
    return assemble(_regions(orders, depth, arity, split, rng), variables, layers)


def _regions(
    orders: Int, depth: int | None, arity: int, split: Split, rng: np.random.Generator
) -> RegionGraph:
    """Region 0 has all variables; the others are slices of the concatenated orders."""
    replicas, n = orders.shape
    first = np.arange(replicas) * n
    if n == 1 or depth == 0:
        return _uncut(orders)
    level = np.stack([np.zeros(replicas, np.int64), first, first + n], axis=1)
    stages, tables, leaves = [np.zeros(1, np.int64)], list[Int](), list[Int]()
    made, cuts = 1, 0
    while len(level):
        whole = (level[:, 2] - level[:, 1] == 1) | (cuts == depth)
        leaves.append(level[whole])
        below = [level[:0]]
        for parents, edges in _cut(level[~whole], arity, split, rng):
            parts = made + np.arange(edges[:, 1:].size).reshape(len(edges), -1)
            made += parts.size
            tables.append(np.concatenate([parents[:, None], parts], axis=1))
            below.append(np.stack([parts, edges[:, :-1], edges[:, 1:]], axis=2).reshape(-1, 3))
        level = np.concatenate(below)
        cuts += 1
        stages.append(np.full(len(level), -cuts))
    stage = np.concatenate(stages)
    return RegionGraph(stage, _leaf_tables(np.concatenate(leaves), orders.ravel()), tables, 0)


def _uncut(orders: Int) -> RegionGraph:
    """A region graph whose replicas are factorized distributions over all variables."""
    tops = 1 + np.arange(len(orders))
    table = np.stack([np.zeros(len(orders), np.int64), tops], axis=1)
    return RegionGraph(np.append(0, np.full(len(orders), -1)), [(tops, orders)], [table], 0)


def _cut(
    level: Int, arity: int, split: Split, rng: np.random.Generator
) -> Iterator[tuple[Int, Int]]:
    """Regions and the edges of their parts, shape (regions, parts + 1), by number of parts."""
    size = level[:, 2] - level[:, 1]
    numbers = np.minimum(size, arity)
    for parts in np.unique(numbers).tolist():
        mine = numbers == parts
        inner = np.arange(1, parts)
        if split == "balanced":
            cuts = size[mine, None] * inner // parts
        else:  # sorted draws, spaced so that each part has a variable
            room = size[mine, None] - parts + 1
            cuts = np.sort(rng.integers(0, room, (len(room), parts - 1)), axis=1) + inner
        edges = np.concatenate([np.zeros((len(cuts), 1), np.int64), cuts, size[mine, None]], axis=1)
        yield level[mine, 0], level[mine, 1, None] + edges


def _leaf_tables(leaves: Int, flat: Int) -> list[tuple[Int, Int]]:
    size = leaves[:, 2] - leaves[:, 1]
    tables: list[tuple[Int, Int]] = []
    for number in np.unique(size).tolist():
        mine = leaves[size == number]
        tables.append((mine[:, 0], flat[mine[:, 1, None] + np.arange(number)]))
    return tables
