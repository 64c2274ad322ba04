"""Weights in the graph: as numbers, or as parameters with the nodes that make weights of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from pccompiler.ir.arrays import Int, first_uses
from pccompiler.ir.families import Family
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.parameters import Layout, parameter_name
from pccompiler.ir.plan.plan import Plan
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.sectors import Parameters, SectorWriter

Float = NDArray[np.float64]
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_CHANCES = (Family.BERNOULLI.keyword, Family.BINOMIAL.keyword)
_FAR = 1000.0  # a logit that stands for infinity: exp(-1000) is 0 in float64


class Places(NamedTuple):
    """Mean and deviation, or location and scale, and log of the normalizer, (rows, units, 1)."""

    middle: str
    spread: str
    log_normalizer: str


class WeightWriter:
    """Writes the weights of each layer, row by row, or one row where all rows share a weight.

    Tables hold each weight once, in order of use, so most layers take slices and no index is
    stored. Probabilities are formed in float64 (ONNX Runtime does so once, when it loads the
    file): its float32 Softmax and Sigmoid are off by 1e-6 relative and more, which adds up over
    thousands of regions, and its Sigmoid is 0 from -18 down.
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
        self._places: dict[int, Places] = {}

    def table(self, layer: int) -> str:
        """Probabilities, shape (rows, units, columns); of a Bernoulli, those of both states."""
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
            part: Of a ragged sum, which entry of its operands.
            spread: Whether a row that all rows share is written for each of them.
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

    def places(self, layer: int) -> Places:
        """Parameters of Gaussian and Laplace inputs."""
        group = self.plan.layers[layer].group
        if group not in self._places:
            self._places[group] = self._place_tables(group)
        return Places(*(self._rows(table, layer) for table in self._places[group]))

    def _place_tables(self, group: int) -> Places:
        graph = self.graph
        gaussian = self.plan.groups[group].owner == Family.GAUSSIAN.keyword
        log_constant = _LOG_SQRT_2PI if gaussian else math.log(2.0)
        if self.values is not None:
            middle, spread = np.split(self.values[group][self.orders[group]], 2, axis=2)
            normalizer = np.log(spread) + log_constant
            return Places(*(graph.constant(v) for v in (middle, spread, normalizer)))
        raw = self._raw(group)
        log_spread = graph.slice(raw, 1, 2, axis=2)
        normalizer_name = graph.op("Add", log_spread, graph.constant(log_constant))
        return Places(graph.slice(raw, 0, 1, axis=2), graph.op("Exp", log_spread), normalizer_name)

    def exact_table(self, layer: int) -> str:
        """Probabilities in float64, shape (rows, units, columns)."""
        group = self.plan.layers[layer].group
        if self.values is None:
            return self._rows(self._exact(group), layer)
        return self._rows(self._double("double", group, self._probabilities(group)), layer)

    def log_exact(self, layer: int) -> str:
        """Logarithms of binomial units' probabilities of failure and success, in float64."""
        group = self.plan.layers[layer].group
        if self.values is not None:
            with np.errstate(divide="ignore"):
                logs = np.log(self._probabilities(group))
            return self._rows(self._double("log_double", group, logs), layer)
        if ("log_exact", group) not in self._tables:
            self._tables["log_exact", group] = self.graph.op("Log", self._exact(group))
        return self._rows(self._tables["log_exact", group], layer)

    def log_rates(self, layer: int) -> str:
        """Logarithms of Poisson units' rates in float64, shape (rows, units, 1)."""
        group = self.plan.layers[layer].group
        if self.values is not None:
            with np.errstate(divide="ignore"):
                logs = np.log(self.values[group][self.orders[group]])
            return self._rows(self._double("log_rates", group, logs), layer)
        return self._rows(self.graph.cast(self._raw(group), TensorProto.DOUBLE), layer)

    def _double(self, kind: str, group: int, values: Float) -> str:
        """``values`` as a float64 constant, stored once."""
        if (kind, group) not in self._tables:
            self._tables[kind, group] = self.graph.constant(values, np.float64)
        return self._tables[kind, group]

    def _probabilities(self, group: int) -> Float:
        """Materialized weights, in order of use."""
        if self.values is None:
            raise AssertionError("compact weights are nodes")  # pragma: no cover
        values = self.values[group][self.orders[group]]
        if self.plan.groups[group].owner in _CHANCES:
            return np.concatenate([1.0 - values, values], axis=2)
        return values

    def _number(self, kind: str, group: int, values: Float) -> str:
        return self.graph.parameter(f"{kind}_{group}_{self.plan.groups[group].name}", values)

    def _exact(self, group: int) -> str:
        """`pccompiler.ir.plan.materialize.constrain` as nodes, in float64; written once."""
        if ("exact", group) not in self._tables:
            raw = self.graph.cast(self._raw(group), TensorProto.DOUBLE)
            self._tables["exact", group] = self._constrain(raw, self.plan.groups[group])
        return self._tables["exact", group]

    def _constrain(self, raw: str, group: WeightGroup) -> str:
        """Probabilities of logits; of a Bernoulli's or binomial's, those of both outcomes."""
        graph, columns = self.graph, group.columns
        if group.owner in _CHANCES:
            bounds = (graph.constant(bound, np.float64) for bound in (-_FAR, _FAR))
            raw = graph.op("Clip", raw, *bounds)
            zeros = graph.op("Mul", raw, graph.constant(0.0, np.float64))
            raw, columns = graph.concat([zeros, raw], axis=2), 2
        weights, floor = graph.op("Softmax", raw, axis=-1), self.plan.floor
        if floor == 0.0:
            return weights
        lifted = graph.op("Add", weights, graph.constant(floor, np.float64))
        return graph.op("Div", lifted, graph.constant(1.0 + columns * floor, np.float64))

    def _raw(self, group: int) -> str:
        """Unconstrained numbers, shape (weights, rows, columns), in order of use."""
        if self.plan.groups[group].generated:
            return self.sectors.logits(group)
        name = parameter_name(self.plan, group)
        return self.graph.parameter(name, self.parameters[name][self.orders[group]])

    def _rows(self, table: str, number: int, part: int = 0, *, spread: bool = False) -> str:
        """A layer's rows of a group's table; a single row broadcasts unless ``spread``."""
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


def _orders(plan: Plan) -> dict[int, Int]:
    """Group to the places of the weights in it that layers use, in order of first use."""
    used: dict[int, list[Int]] = {}
    for use in plan.uses:
        used.setdefault(use.group, []).append(use.index)
    return {group: first_uses(np.concatenate(indices)) for group, indices in used.items()}
