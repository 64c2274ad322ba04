"""Weights in the graph: as numbers, or as parameters with the nodes that make weights of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Int
from pccompiler.ir.generate import materialize
from pccompiler.ir.generators import Direct, Sectors
from pccompiler.ir.kinds import Family
from pccompiler.ir.layout import Layout, parameter_name
from pccompiler.ir.plan import Plan, WeightGroup
from pccompiler.onnx_backend.graph import Graph

Float = NDArray[np.float64]
Parameters = Mapping[str, NDArray[np.floating]]


def users(plan: Plan) -> list[list[int]]:
    """The layers that use each group, in order."""
    found: list[list[int]] = [[] for _ in plan.groups]
    for number, layer in enumerate(plan.layers):
        if layer.group >= 0:
            found[layer.group].append(number)
    return found


def plan_order(plan: Plan, layers: list[int]) -> Int:
    """Places in the group of the weights that ``layers`` take, row by row."""
    indices = [plan.layers[number].index for number in layers]
    return np.concatenate([index for index in indices if index is not None])


class WeightWriter:
    """Writes the weights of each layer, in the order of its rows.

    Tables are stored in the order of the plan, so layers take slices and no index is stored.
    """

    def __init__(
        self, graph: Graph, plan: Plan, layout: Layout, parameters: Parameters, compact: bool
    ) -> None:
        self.graph, self.plan, self.layout = graph, plan, layout
        self.parameters = parameters
        self.values = materialize(plan, layout, parameters)
        self.compact = compact

    def write(self) -> dict[int, str]:
        """Layer number to its weights, shape (rows, units, columns)."""
        names: dict[int, str] = {}
        pieces = self._sector_pieces() if self.compact else {}
        hidden = self._hidden(pieces)
        start = 0
        for number, (group, layers) in enumerate(
            zip(self.plan.groups, users(self.plan), strict=True)
        ):
            order = plan_order(self.plan, layers)
            if not self.compact or (group.generated and number not in pieces):
                table = self.graph.constant(self.values[number][order])
            elif group.generated and not self._is_direct:
                sectors = pieces[number]
                rows = self.graph.rows(hidden, start, start + len(sectors))
                start += len(sectors)
                table = self._constrain(self._head(rows, sectors, group, len(order)), group)
            else:
                table = self._constrain(self.graph.constant(self._logits(number, order)), group)
            names.update(self._split(table, layers))
        return names

    @property
    def _is_direct(self) -> bool:
        return isinstance(self.plan.generator, Direct)

    def _split(self, table: str, layers: list[int]) -> dict[int, str]:
        """Each layer's part of a table in plan order."""
        if len(layers) == 1:
            return {layers[0]: table}
        names: dict[int, str] = {}
        start = 0
        for layer in layers:
            stop = start + self.plan.layers[layer].rows
            names[layer] = self.graph.rows(table, start, stop)
            start = stop
        return names

    def _logits(self, number: int, order: Int) -> NDArray[np.floating]:
        """Unconstrained numbers of a group without hypernetwork, in plan order."""
        group = self.plan.groups[number]
        if not group.generated:
            return self.parameters[parameter_name(self.plan, number)][order]
        flat = np.concatenate(
            [
                self.parameters["blocks"][h.sectors, : h.rows, : h.columns].ravel()
                for h in self.layout.heads
            ]
        )
        where = self.layout.assembly[number]
        raw = flat[slice(*where)] if isinstance(where, tuple) else flat[where]
        return raw.reshape(len(group.weights), group.rows, group.columns)[order]

    def _sector_pieces(self) -> dict[int, Int]:
        """Group to its sectors, weight by weight in plan order, where all have one shape."""
        sectors = self.plan.sectors
        if sectors is None or self._is_direct:
            return {n: np.zeros(0, np.int64) for n, g in enumerate(self.plan.groups) if g.generated}
        found: dict[int, Int] = {}
        for number, layers in enumerate(users(self.plan)):
            group = self.plan.groups[number]
            if group.generated:
                mine = _uniform(sectors, group)
                if mine is not None:
                    found[number] = mine[plan_order(self.plan, layers)].ravel()
        return found

    def _hidden(self, pieces: Mapping[int, Int]) -> str:
        """Hidden values of all sectors, in the order in which groups take them."""
        generator = self.plan.generator
        chosen = [pieces[number] for number in sorted(pieces)]
        if isinstance(generator, Direct) or not chosen:
            return ""
        values = self.graph.constant(self.parameters["embedding"][np.concatenate(chosen)])
        for number in range(len(generator.hidden)):
            values = self.graph.op("Relu", self._linear(values, f"hidden_{number}"))
        return values

    def _linear(self, values: str, name: str) -> str:
        weight = self.graph.constant(self.parameters[f"{name}_weight"])
        bias = self.graph.constant(self.parameters[f"{name}_bias"])
        return self.graph.op("Gemm", values, weight, bias, transB=1)

    def _head(self, hidden: str, sectors: Int, group: WeightGroup, number: int) -> str:
        """Logits of a group's weights, shape (number, rows, columns)."""
        all_sectors = self.plan.sectors
        if all_sectors is None:
            raise AssertionError("a generated group without sectors")  # pragma: no cover
        rows, columns = int(all_sectors.rows[sectors[0]]), int(all_sectors.columns[sectors[0]])
        if self.layout.block is None:
            out = self._linear(hidden, f"head_{rows}x{columns}")
        else:
            shape = (*self.layout.block, -1)
            weight = self.parameters["head_weight"].reshape(shape)[:rows, :columns]
            bias = self.parameters["head_bias"].reshape(self.layout.block)[:rows, :columns]
            flat = weight.reshape(rows * columns, -1)
            names = self.graph.constant(flat), self.graph.constant(bias.ravel())
            out = self.graph.op("Gemm", hidden, *names, transB=1)
        return self.graph.reshape(out, number, group.rows, group.columns)

    def _constrain(self, raw: str, group: WeightGroup) -> str:
        """`pccompiler.ir.generate.constrain` as nodes."""
        graph = self.graph
        if group.is_simplex:
            return self._lift(graph.op("Softmax", raw, axis=-1), group.columns)
        if group.owner == Family.BERNOULLI.keyword:
            return self._lift(graph.op("Sigmoid", raw), 2)
        mean = graph.op("Slice", raw, graph.ints(0), graph.ints(1), graph.ints(2))
        spread = graph.op("Slice", raw, graph.ints(1), graph.ints(2), graph.ints(2))
        return graph.concat([mean, graph.op("Exp", spread)], axis=2)

    def _lift(self, weights: str, states: int) -> str:
        floor = self.plan.floor
        if floor == 0.0:
            return weights
        lifted = self.graph.op("Add", weights, self.graph.constant(floor))
        return self.graph.op("Mul", lifted, self.graph.constant(1.0 / (1.0 + states * floor)))


def _uniform(sectors: Sectors, group: WeightGroup) -> Int | None:
    """Sectors of each weight, shape (weights, pieces), if all have one shape."""
    mine = np.flatnonzero(np.isin(sectors.weight, group.weights))
    shapes = np.stack([sectors.rows[mine], sectors.columns[mine]], axis=1)
    if len(mine) == 0 or (shapes != shapes[0]).any():
        return None
    return mine.reshape(len(group.weights), -1)
