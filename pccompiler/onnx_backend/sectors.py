"""Logits of weights that sectors cover, made of the nodes that generators write, in float64.

ONNX Runtime folds them when it loads the file, so this costs nothing later.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from pccompiler.ir.arrays import Int, segments
from pccompiler.ir.generators import Sectors
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.parameters import Layout, entries_of, positions
from pccompiler.ir.plan.plan import Plan
from pccompiler.onnx_backend.generators.base import OnnxGenerator, Parameters, Run
from pccompiler.onnx_backend.generators.registry import class_of
from pccompiler.onnx_backend.graph import Graph


class SectorWriter:
    """Writes the logits of generated groups. Codes are stored in order of use: no index."""

    def __init__(
        self,
        graph: Graph,
        plan: Plan,
        layout: Layout,
        parameters: Parameters,
        orders: Mapping[int, Int],
    ) -> None:
        self.graph, self.plan, self.layout = graph, plan, layout
        self.parameters, self.orders = parameters, orders

    @cached_property
    def runs(self) -> dict[int, list[Run]]:
        """Each generated group's sectors."""
        return _runs(self.plan, self.layout, self.orders)

    @cached_property
    def generator(self) -> OnnxGenerator[Any]:
        """What writes the nodes."""
        used = [run.sectors.ravel() for runs in self.runs.values() for run in runs]
        generator, order = self.plan.generator, np.concatenate(used)
        return class_of(generator.keyword)(generator, self.graph, self.parameters, order)

    def _scattered(self, number: int) -> str:
        """Raw numbers of a group whose weights are partitioned differently."""
        group, order = self.plan.groups[number], self.orders[number]
        pieces = [self.graph.reshape(self.generator.run(run), -1) for run in self.runs[number]]
        flat = pieces[0] if len(pieces) == 1 else self.graph.concat(pieces, axis=0)
        index = _places(self.plan, group, self.runs[number])[order]
        return self.graph.reshape(
            self.graph.take(flat, index.ravel()), len(order), group.rows, group.columns
        )

    def logits(self, number: int) -> str:
        """Raw numbers of a generated group, shape (weights, rows, columns), in order of use."""
        group, weights = self.plan.groups[number], len(self.orders[number])
        if _alike(self.plan, group) is None:
            return self._scattered(number)
        pieces = [
            self.graph.reshape(self.generator.run(run), weights, run.sectors.shape[1] * run.size)
            for run in self.runs[number]
        ]
        return self.graph.reshape(
            self.graph.concat(pieces, axis=1), weights, group.rows, group.columns
        )


def _runs(plan: Plan, layout: Layout, orders: Mapping[int, Int]) -> dict[int, list[Run]]:
    """For each generated group, its sectors in runs of one shape."""
    found: dict[int, list[Run]] = {}
    heads = {(head.rows, head.columns): head for head in layout.heads}
    start = 0
    for number, group in enumerate(plan.groups):
        if not group.generated or number not in orders or plan.sectors is None:
            continue
        found[number] = []
        for mine in _tables(plan, group, orders[number]):
            first = int(mine[0, 0])
            shape = int(plan.sectors.rows[first]), int(plan.sectors.columns[first])
            found[number].append(Run(mine, heads[shape], start))
            start += mine.size
    return found


def _tables(plan: Plan, group: WeightGroup, order: Int) -> list[Int]:
    """Sectors of a group: one table per run, shape ``(weights, pieces)``."""
    table, shapes = _alike(plan, group), _shapes_of(plan)
    if table is not None:
        changes = np.flatnonzero((np.diff(shapes[table[0]], axis=0) != 0).any(axis=1)) + 1
        return np.split(table[order], changes, axis=1)
    mine, _ = entries_of(group, _sectors(plan))
    distinct, kind = np.unique(shapes[mine], axis=0, return_inverse=True)
    return [mine[kind.ravel() == number, None] for number in range(len(distinct))]


def _alike(plan: Plan, group: WeightGroup) -> Int | None:
    """Sectors of each weight, shape ``(weights, pieces)``, if all are partitioned the same way.

    The sectors of a weight must also contain its entries in order.
    """
    mine, taken = entries_of(group, _sectors(plan))
    if taken is not None or len(mine) % len(group.weights):
        return None
    table = mine.reshape(len(group.weights), -1)
    each = _shapes_of(plan)[table]
    return table if bool((each == each[0]).all()) else None


def _sectors(plan: Plan) -> Sectors:
    return Sectors() if plan.sectors is None else plan.sectors


def _shapes_of(plan: Plan) -> Int:
    """Rows and columns of each sector."""
    sectors = _sectors(plan)
    return np.stack([sectors.rows, sectors.columns], axis=1)


def _places(plan: Plan, group: WeightGroup, runs: list[Run]) -> Int:
    """The place of each entry of the group's weights in its runs, shape ``(weights, entries)``."""
    sectors = _sectors(plan)
    sizes = sectors.rows * sectors.columns
    start = np.zeros(len(sectors), np.int64)
    used = np.concatenate([run.sectors.ravel() for run in runs])
    start[used] = segments(sizes[used])[:-1]
    return positions(group, sectors, start).reshape(len(group.weights), -1)
