"""Trees over variables, and circuits in their shape."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir import Builder
from pccompiler.ir.arrays import Float, Int, ranges, segments


@dataclass(frozen=True, eq=False)
class Rooted:
    """A tree with a root.

    Attributes:
        parent: Shape ``(n,)``; -1 at the root.
        depth: Shape ``(n,)``; edges between a node and the root.
        root: The node without a parent.
    """

    parent: Int
    depth: Int
    root: int


def rooted(edges: Int, n: int, root: int | None = None) -> Rooted:
    """A tree of ``n`` nodes with its edges, shape ``(n - 1, 2)``, directed away from ``root``.

    Args:
        edges: In any order and direction.
        n: Number of nodes.
        root: A node; ``None``: a centre, which minimises the distance to the farthest node.

    Raises:
        OptionError: If the edges do not form a tree over all nodes.
    """
    edges = np.asarray(edges, np.int64).reshape(-1, 2)
    if len(edges) != n - 1 or (edges < 0).any() or (edges >= n).any():
        raise _no_tree(n)
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    pointer = segments(np.bincount(both[:, 0], minlength=n))
    if root is None:
        first = _walk(pointer, both[:, 1], 0)
        root = _middle(_walk(pointer, both[:, 1], int(first.depth.argmax())))
    result = _walk(pointer, both[:, 1], root)
    if (result.depth < 0).any():
        raise _no_tree(n)
    return result


def _walk(pointer: Int, neighbours: Int, root: int) -> Rooted:
    """Walk breadth first from ``root``; unreachable nodes have depth -1."""
    parent, depth = np.full(len(pointer) - 1, -1), np.full(len(pointer) - 1, -1)
    depth[root] = 0
    level = np.array([root])
    while len(level):
        number = pointer[level + 1] - pointer[level]
        found = neighbours[ranges(pointer[level], number)]
        above = np.repeat(level, number)
        new = depth[found] < 0
        found, above = found[new], above[new]
        parent[found], depth[found] = above, depth[above] + 1
        level = np.unique(found)
    return Rooted(parent, depth, root)


def _middle(tree: Rooted) -> int:
    """The node halfway from the root to the farthest node: a centre, if the root is an end."""
    node = int(tree.depth.argmax())
    for _ in range(int(tree.depth[node]) // 2):
        node = int(tree.parent[node])
    return node


def _no_tree(n: int) -> OptionError:
    return OptionError.of(
        "PC347",
        f"the edges do not form a tree over {n} variables",
        help=f"give {n - 1} pairs of variable indices that connect all of them",
    )


def tree_circuit(builder: Builder, tree: Rooted, inputs: Int, widths: Int) -> tuple[int, Int]:
    """Build sums and products in the shape of a tree, from the leaves to the root.

    A node's product multiplies its input and the sums of its children; its sum has as many units as
    its parent's product, and one unit at the root.

    Args:
        builder: Gets the nodes.
        tree: A tree whose nodes are variables.
        inputs: Shape ``(n,)``, node ids.
        widths: Shape ``(n,)``, units of the inputs.

    Returns:
        The root of the circuit, and the sum of each tree node, shape ``(n,)``.
    """
    sums = np.full(len(inputs), -1)
    order = np.argsort(np.where(tree.parent < 0, len(inputs), tree.parent), kind="stable")
    number = np.bincount(tree.parent[tree.parent >= 0], minlength=len(inputs))
    pointer = segments(number)
    by_depth = np.argsort(-tree.depth, kind="stable")
    edges = np.flatnonzero(np.diff(tree.depth[by_depth])) + 1
    units = np.where(tree.parent < 0, 1, widths[tree.parent])
    for level in np.split(by_depth, edges):
        products = inputs[level]
        for count in np.unique(number[level]).tolist():
            mine = level[number[level] == count]
            if count:
                children = order[pointer[mine, None] + np.arange(count)]
                operands = np.concatenate([inputs[mine, None], sums[children]], axis=1)
                products[number[level] == count] = builder.products(operands)
        for width in np.unique(units[level]).tolist():
            same = units[level] == width
            sums[level[same]] = builder.sums(products[same], width)
    return int(sums[tree.root]), sums


def spanning_edges(weights: Float) -> Int:
    """Edges of a maximum spanning tree, shape ``(n - 1, 2)``, smaller index first.

    Args:
        weights: Shape ``(n, n)``, symmetric.
    """
    nx: Any = import_module("networkx")  # untyped, and slow to load
    n = len(weights)
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    first, second = np.triu_indices(n, 1)
    columns = (first.tolist(), second.tolist(), weights[first, second].tolist())
    graph.add_weighted_edges_from(zip(*columns, strict=True))
    found = sorted((min(a, b), max(a, b)) for a, b in nx.maximum_spanning_tree(graph).edges)
    return np.array(found, np.int64).reshape(-1, 2)
