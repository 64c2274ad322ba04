"""Tables of trees for the C code: regions tree by tree, in post-order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.ir.arrays import Int
from pccompiler.torch_backend.engines.trees.match import Child, RegionTrees
from pccompiler.torch_backend.weights.weights import Weights


def rows_of(weights: Weights, group: int) -> Int | None:
    """The parameter row of each weight in order of use; ``None`` if it is the identity."""
    if group < 0 or weights.plan.groups[group].generated:
        return None
    rows = weights.orders[str(group)].rows
    return rows.cpu().numpy() if isinstance(rows, Tensor) else None


def tables_of(trees: RegionTrees, rows: dict[int, Int | None]) -> dict[str, NDArray[np.int32]]:
    """Regions tree by tree, in post-order, as kernels/trees.c reads them.

    Args:
        trees: The regions.
        rows: Group to the parameter rows of its weights (see `rows_of`).
    """

    def placed(group: int, numbers: Int) -> Int:
        where = rows[group]
        return numbers if where is None else where[np.maximum(numbers, 0)]

    order: list[int] = []
    starts = [0]
    place = np.zeros(len(trees.weight), np.int64)
    for root in trees.roots:
        own = _post_order(trees, root)
        place[own] = np.arange(len(own))
        order += own
        starts.append(len(order))
    kinds, ids = (np.array(table).reshape(-1, 2)[order] for table in (trees.kinds, trees.ids))
    inner = kinds == Child.LANE
    source = np.where(inner, place[np.where(inner, ids, 0)], ids)
    parent = np.full(len(order), -1)
    tree = np.repeat(np.array(starts[:-1]), np.diff(starts))
    region, side = np.nonzero(inner)
    parent[tree[region] + source[region, side]] = region - tree[region]
    weight, leaf = np.array(trees.weight)[order], np.array(trees.leaves).reshape(-1, 2)[order]
    square, root, leaves = trees.groups
    inner_weights = np.where(weight >= 0, placed(square, weight), weight)
    found = {
        "starts": np.array(starts),
        "weight": np.where(weight < -1, -2 - placed(root, -2 - weight), inner_weights),
        "parent": parent,
        "kind": kinds,
        "source": source,
        "leaf": np.where(leaf >= 0, placed(leaves, leaf), leaf),
        "input": np.array(trees.inputs).reshape(-1, 2)[order],
    }
    return {name: np.ascontiguousarray(table, np.int32) for name, table in found.items()}


def separate(tables: dict[str, NDArray[np.int32]]) -> bool:
    """Whether no weight is used twice, so that threads never add to the same gradient."""
    own = (tables["weight"][tables["weight"] != -1], tables["leaf"][tables["kind"] == Child.LEAF])
    return all(len(np.unique(places)) == places.size for places in own)


def _post_order(trees: RegionTrees, root: int) -> list[int]:
    """Regions below ``root``, children before parents, the root last."""
    found: list[int] = []
    stack = [root]
    while stack:
        region = stack.pop()
        found.append(region)
        stack += trees.below(region)
    return found[::-1]
