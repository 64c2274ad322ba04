"""Input layers as nodes; a missing value gives 1 (0 in log form)."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.kinds import Family
from pccompiler.ir.plan import Form, Layer, Plan
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.weights import Gaussians, WeightWriter


def write_input(graph: Graph, plan: Plan, weights: WeightWriter, number: int, columns: str) -> str:
    """An input layer's value, shape (rows, units, batch), in its form.

    Args:
        graph: Where to write.
        plan: Gives the layer and the variables' states.
        weights: Gives the parameters.
        number: Of the layer.
        columns: The data, shape (variables, batch), NaN where missing.
    """
    layer = plan.layers[number]
    if layer.variables is None:
        raise AssertionError("an input layer without variables")  # pragma: no cover
    column = graph.unsqueeze(graph.take(columns, layer.variables), 1)
    missing = graph.op("IsNaN", column)
    if layer.family == Family.GAUSSIAN:
        return _gaussian(graph, column, missing, weights.gaussians(number))
    one_hot = _one_hot(graph, column, missing, _states(plan, layer))
    if layer.family == Family.INDICATOR:
        return one_hot
    x = graph.op("MatMul", weights.table(number), one_hot)
    return x if layer.form == Form.LINEAR else graph.op("Log", x)


def _states(plan: Plan, layer: Layer) -> int:
    if layer.family == Family.BERNOULLI or layer.variables is None:
        return 2
    return plan.variables[int(layer.variables[0])].cardinality


def _one_hot(graph: Graph, column: str, missing: str, states: int) -> str:
    """Shape (rows, states, batch): 1 at the state, all ones where missing."""
    numbers = graph.constant(np.arange(states).reshape(1, -1, 1))
    return graph.cast(graph.op("Or", graph.op("Equal", column, numbers), missing))


def _gaussian(graph: Graph, column: str, missing: str, table: Gaussians) -> str:
    """Gaussian log-densities."""
    zero = graph.constant(0.0)
    known = graph.op("Where", missing, zero, column)
    scaled = graph.op("Div", graph.op("Sub", known, table.mean), table.deviation)
    square = graph.op("Mul", graph.op("Mul", scaled, scaled), graph.constant(-0.5))
    return graph.op("Where", missing, zero, graph.op("Sub", square, table.log_normalizer))
