"""Logits of weights that sectors cover: constants, or a hypernetwork as nodes in float64.

ONNX Runtime folds the network when it loads the file, so it costs nothing later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Int, segments
from pccompiler.ir.generators import Direct, Sectors
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.parameters import Layout, entries_of, positions
from pccompiler.ir.plan.plan import Plan
from pccompiler.onnx_backend.graph import Graph

Parameters = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class Run:
    """Sectors of one shape that are adjacent in each weight of a group.

    Attributes:
        sectors: Sector numbers, shape ``(weights, pieces)``, weights in order of use.
        rows: Rows of each sector.
        columns: Columns of each sector.
        start: The position of the run among all runs' sectors.

    A group whose weights are partitioned differently has one piece per row here, for all its
    weights, and an order that permutes the entries of all runs into place.
    """

    sectors: Int
    rows: int
    columns: int
    start: int


class SectorWriter:
    """Writes the logits of generated groups. Embeddings are stored in order of use: no index."""

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
        self._hidden = ""
        self._widened: dict[str, str] = {}

    @cached_property
    def runs(self) -> dict[int, list[Run]]:
        """Each generated group's sectors."""
        return _runs(self.plan, self.orders)

    def _scattered(self, number: int) -> str:
        """Raw numbers of a group whose weights are partitioned differently."""
        group, order = self.plan.groups[number], self.orders[number]
        pieces = [self.graph.reshape(self._head(run), -1) for run in self.runs[number]]
        flat = pieces[0] if len(pieces) == 1 else self.graph.concat(pieces, axis=0)
        index = _places(self.plan, group, self.runs[number])[order]
        return self.graph.reshape(
            self.graph.take(flat, index.ravel()), len(order), group.rows, group.columns
        )

    def logits(self, number: int) -> str:
        """Raw numbers of a generated group, shape (weights, rows, columns), in order of use."""
        if isinstance(self.plan.generator, Direct):
            return self._direct(number)
        group, weights = self.plan.groups[number], len(self.orders[number])
        if _alike(self.plan, group) is None:
            return self._scattered(number)
        pieces = [
            self.graph.reshape(self._head(run), weights, run.sectors.shape[1] * _size(run))
            for run in self.runs[number]
        ]
        return self.graph.reshape(
            self.graph.concat(pieces, axis=1), weights, group.rows, group.columns
        )

    def _direct(self, number: int) -> str:
        """The used part of the table of blocks."""
        group, where = self.plan.groups[number], self.layout.assembly[number]
        blocks = self.parameters["blocks"]
        flat = np.concatenate(
            [blocks[h.sectors, : h.rows, : h.columns].ravel() for h in self.layout.heads]
        )
        raw = flat[slice(*where)] if isinstance(where, tuple) else flat[where]
        table = raw.reshape(-1, group.rows, group.columns)[self.orders[number]]
        return self.graph.parameter(f"blocks_{number}_{group.name}", table)

    def _head(self, run: Run) -> str:
        """The output layer for a run's sectors, shape (sectors, rows * columns)."""
        rows = self.graph.slice(self.hidden(), run.start, run.start + run.sectors.size)
        if self.layout.block is None:
            return self._linear(rows, f"head_{run.rows}x{run.columns}")
        corner = np.s_[: run.rows, : run.columns]
        weight = self.parameters["head_weight"].reshape(*self.layout.block, -1)[corner]
        bias = self.parameters["head_bias"].reshape(self.layout.block)[corner]
        name = f"head_{run.rows}x{run.columns}"
        table = self._wide(f"{name}_weight", weight.reshape(_size(run), -1))
        return self.graph.op(
            "Gemm", rows, table, self._wide(f"{name}_bias", bias.ravel()), transB=1
        )

    def hidden(self) -> str:
        """Last hidden values of all used sectors, run by run."""
        generator = self.plan.generator
        if self._hidden or isinstance(generator, Direct):
            return self._hidden
        chosen = [run.sectors.ravel() for runs in self.runs.values() for run in runs]
        used = self.parameters["embedding"][np.concatenate(chosen)]
        self._hidden = self._wide("embedding", used)
        for number in range(len(generator.hidden)):
            out = self._linear(self._hidden, f"hidden_{number}")
            self._hidden = self.graph.op("Relu", out)
        return self._hidden

    def _linear(self, values: str, name: str) -> str:
        weight, bias = (
            self._wide(part, self.parameters[part]) for part in (f"{name}_weight", f"{name}_bias")
        )
        return self.graph.op("Gemm", values, weight, bias, transB=1)

    def _wide(self, name: str, values: NDArray[np.floating]) -> str:
        """A parameter in float64, stored in float32 and written once."""
        if name not in self._widened:
            self._widened[name] = self.graph.wide(self.graph.parameter(name, values))
        return self._widened[name]


def _size(run: Run) -> int:
    return run.rows * run.columns


def _runs(plan: Plan, orders: Mapping[int, Int]) -> dict[int, list[Run]]:
    """For each generated group, its sectors in runs of one shape."""
    found: dict[int, list[Run]] = {}
    start = 0
    for number, group in enumerate(plan.groups):
        if not group.generated or number not in orders or plan.sectors is None:
            continue
        found[number] = []
        for mine in _tables(plan, group, orders[number]):
            first = int(mine[0, 0])
            rows, columns = int(plan.sectors.rows[first]), int(plan.sectors.columns[first])
            found[number].append(Run(mine, rows, columns, start))
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
