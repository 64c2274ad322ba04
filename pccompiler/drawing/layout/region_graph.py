"""Region graphs: all nodes over one set of variables are one region.

Source: Dennis and Ventura (2012), "Learning the Architecture of Sum-Product Networks Using
Clustering on Variables"; Peharz et al. (2019), "Random Sum-Product Networks".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Int, ints
from pccompiler.ir.kinds import is_product


@dataclass(frozen=True, eq=False)
class RegionGraph:
    """A region for each scope, and a partition for each way in which products split a region.

    Attributes:
        regions: Number of regions, which are the scopes of nodes.
        partition_region: Shape ``(partitions,)``, the region that each splits.
        partition_products: Shape ``(partitions,)``, number of product nodes.
        upper: Shape ``(edges,)``; regions are numbered like scopes, and partitions follow.
        lower: Shape ``(edges,)``.
    """

    regions: int
    partition_region: Int
    partition_products: Int
    upper: Int
    lower: Int

    def __len__(self) -> int:
        """Number of regions and partitions."""
        return self.regions + len(self.partition_region)


def find_regions(circuit: Circuit) -> RegionGraph:
    """The region graph of a circuit; operands with their node's scope are in the same region."""
    scope = circuit.scopes.index
    regions = len(circuit.scopes.table)
    owners: list[int] = []
    products: list[int] = []
    pairs = [_direct(circuit)]
    product = is_product(circuit.kind)
    for arity in np.unique(circuit.fan_in[product]).tolist():
        nodes = np.flatnonzero(product & (circuit.fan_in == arity))
        below = scope[circuit.operands[circuit.edges_of(nodes)]].reshape(-1, arity)
        rows = np.concatenate([scope[nodes][:, None], np.sort(below, axis=1)], axis=1)
        rows, times = np.unique(rows, axis=0, return_counts=True)
        keep = (rows[:, 1:] != rows[:, :1]).any(axis=1)
        first = regions + len(owners)
        numbers = first + np.arange(int(keep.sum()))
        owners += rows[keep, 0].tolist()
        products += times[keep].tolist()
        ends = np.stack([np.repeat(numbers, arity), rows[keep, 1:].ravel()], axis=1)
        own = np.repeat(rows[keep, 0], arity)
        pairs += [np.stack([rows[keep, 0], numbers], axis=1), ends[ends[:, 1] != own]]
    edges = np.unique(np.concatenate(pairs), axis=0)
    return RegionGraph(
        regions, np.array(owners, np.int64), np.array(products, np.int64), edges[:, 0], edges[:, 1]
    )


def _direct(circuit: Circuit) -> Int:
    """Edges from sums to operands with another scope, which are not smooth."""
    owners = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    sums = ~is_product(circuit.kind[owners])
    pairs = circuit.scopes.index[np.stack([owners[sums], circuit.operands[sums]], axis=1)]
    return np.asarray(pairs[pairs[:, 0] != pairs[:, 1]].reshape(-1, 2), np.int64)


def find_twins(graph: RegionGraph, nodes: Int) -> Int:
    """Shape ``(regions,)``: the first region that is similar to each one.

    Regions are similar if they have the same numbers ``nodes`` of each kind, shape
    ``(regions, kinds)``, the same partitions above and nothing below, like leaves of a wide
    product.
    """
    above: list[list[int]] = [[] for _ in range(graph.regions)]
    leaf = [True] * graph.regions
    for upper, lower in zip(graph.upper.tolist(), graph.lower.tolist(), strict=True):
        if upper < graph.regions:
            leaf[upper] = False
        if lower < graph.regions:
            above[lower].append(upper)
    first: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
    twins = list(range(graph.regions))
    for region, row in enumerate(nodes.tolist()):
        if leaf[region] and above[region]:
            twins[region] = first.setdefault((tuple(above[region]), tuple(row)), region)
    return ints(twins)
