"""Weights in the graph: as constants, or as parameters with nodes that compute the weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import ExportError
from pccompiler.ir.arrays import Int, first_uses
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.materialize import constrain, materialize
from pccompiler.ir.plan.parameters import Layout, parameter_name
from pccompiler.ir.plan.plan import Plan
from pccompiler.onnx_backend.generators.base import Parameters
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.sectors import SectorWriter
from pccompiler.onnx_backend.supports import Support, support_of

Float = NDArray[np.float64]


class WeightWriter:
    """Writes the weights of each layer, row by row, or one row if all rows share a weight.

    Tables hold each weight once, in order of use, so most layers take slices and no index is
    stored. Probabilities are formed in float64 (ONNX Runtime does so once, when it loads the
    file): its float32 Softmax and Sigmoid have relative errors of 1e-6 and more, which add up
    over thousands of regions, and its Sigmoid is 0 from -18 down.
    """

    def __init__(
        self, graph: Graph, plan: Plan, layout: Layout, parameters: Parameters, compact: bool
    ) -> None:
        self.graph, self.plan, self.parameters = graph, plan, parameters
        self.orders = _orders(plan)
        self.uses = {(use.layer, use.part): use for use in plan.uses}
        self.values = None if compact else materialize(plan, layout, parameters)
        self.sectors = SectorWriter(graph, plan, layout, parameters, self.orders)
        self._tables: dict[tuple[str, int], str] = {}

    def table(self, layer: int) -> str:
        """Probabilities, shape (rows, units, columns); for a Bernoulli leaf, of both states."""
        group = self.plan.layers[layer].group
        if ("weights", group) not in self._tables:
            self._tables["weights", group] = (
                self.graph.cast(self._exact(group))
                if self.values is None
                else self._number("weights", group, self._probabilities(group))
            )
        return self._rows(self._tables["weights", group], layer)

    def log_table(self, layer: int, part: int = 0, *, spread: bool = False) -> str:
        """Logarithms of probabilities, shape (rows, units, columns).

        Args:
            layer: Number of the layer.
            part: The entry of the operands of a ragged sum.
            spread: Whether to repeat a row that all rows share.
        """
        use = self.uses[layer, part]
        group = use.group
        if ("log_weights", group) not in self._tables:
            with np.errstate(divide="ignore"):
                self._tables["log_weights", group] = (
                    self.graph.cast(self.graph.op("Log", self._exact(group)))
                    if self.values is None
                    else self._number("log_weights", group, np.log(self._probabilities(group)))
                )
        return self._rows(self._tables["log_weights", group], layer, part, spread=spread)

    def derived(
        self,
        kind: str,
        layer: int,
        of_values: Callable[[Float], Float],
        of_raw: Callable[[str], str] | None = None,
        dtype: type[np.generic] = np.float64,
    ) -> str:
        """A quantity derived from leaf parameters, shape (rows, units, columns); written once.

        Args:
            kind: Its name.
            layer: Number of the layer.
            of_values: Computes a constant from the IR's parameters, for constant weights.
            of_raw: Writes nodes from unconstrained numbers, a float32 tensor, for compact
                weights. Without it parameters are always constants.
            dtype: Type of the constant.
        """
        group = self.plan.layers[layer].group
        if (kind, group) not in self._tables:
            if self.values is None and of_raw is not None:
                made = of_raw(self._raw(group))
            else:
                with np.errstate(divide="ignore"):
                    values = of_values(self._numbers(group)[self.orders[group]])
                made = self.graph.constant(values, dtype)
            self._tables[kind, group] = made
        return self._rows(self._tables[kind, group], layer)

    def _numbers(self, group: int) -> Float:
        """Parameters of leaves, as in the IR."""
        if self.values is not None:
            return self.values[group]
        entry = self.plan.groups[group]
        if entry.generated:
            raise ExportError.of(
                "PC466",
                f"a network generates the parameters of {entry.owner} leaves, but their ONNX class "
                "needs constants",
                help="export with weights='materialized'",
            )
        raw = np.asarray(self.parameters[parameter_name(self.plan, group)], np.float64)
        return constrain(raw, entry, self.plan.floor)

    def outcomes(self, layer: int) -> str:
        """All probabilities of a layer's compact weights in float64, in order of use."""
        return self._exact(self.plan.layers[layer].group)

    def _probabilities(self, group: int) -> Float:
        """Materialized weights, in order of use."""
        if self.values is None:
            raise AssertionError("compact weights are nodes")  # pragma: no cover
        values = self.values[group][self.orders[group]]
        return _support(self.plan.groups[group]).outcome_values(values)

    def _number(self, kind: str, group: int, values: Float) -> str:
        return self.graph.parameter(f"{kind}_{group}_{self.plan.groups[group].name}", values)

    def _exact(self, group: int) -> str:
        """Probabilities of all outcomes in float64, from unconstrained numbers; written once."""
        if ("exact", group) not in self._tables:
            entry, raw = self.plan.groups[group], self.graph.wide(self._raw(group))
            self._tables["exact", group] = _support(entry).outcomes(
                self.graph, raw, self.plan.floor, entry.columns
            )
        return self._tables["exact", group]

    def _raw(self, group: int) -> str:
        """Unconstrained numbers, shape (weights, rows, columns), in order of use."""
        if self.plan.groups[group].generated:
            return self.sectors.logits(group)
        name = parameter_name(self.plan, group)
        return self.graph.parameter(name, self.parameters[name][self.orders[group]])

    def _rows(self, table: str, number: int, part: int = 0, *, spread: bool = False) -> str:
        """A layer's rows of a group's table; a single row is broadcast unless ``spread``."""
        use = self.uses[number, part]
        order = self.orders[use.group]
        place = np.zeros(int(order.max()) + 1, np.int64)
        place[order] = np.arange(len(order))
        rows = place[use.index]
        if not spread and bool((rows == rows[0]).all()):
            rows = rows[:1]
        if len(rows) == len(order) and bool((rows == np.arange(len(rows))).all()):
            return table
        return self.graph.take(table, rows)


def _support(group: WeightGroup) -> Support:
    """The support of weights that are probabilities."""
    return support_of(group.parameters[0].support)


def _orders(plan: Plan) -> dict[int, Int]:
    """For each group, the positions of the weights that layers use, in order of first use."""
    used: dict[int, list[Int]] = {}
    for use in plan.uses:
        used.setdefault(use.group, []).append(use.index)
    return {group: first_uses(np.concatenate(indices)) for group, indices in used.items()}
