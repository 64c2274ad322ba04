"""Input layers as nodes; a missing value gives 1 (0 in log form)."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.plan.layers import Form
from pccompiler.ir.plan.plan import Plan
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.leaves.base import LeafNodes
from pccompiler.onnx_backend.leaves.registry import leaf_of
from pccompiler.onnx_backend.weights import WeightWriter


def write_input(graph: Graph, plan: Plan, weights: WeightWriter, number: int, columns: str) -> str:
    """An input layer's value, shape (rows, units, batch), in its form.

    Args:
        graph: Where to write.
        plan: Gives the layer and the variables' states.
        weights: Gives the parameters.
        number: Number of the layer.
        columns: The data, shape (variables, batch), NaN where missing.

    Raises:
        ExportError: If the family has no ONNX class.
    """
    layer = plan.layers[number]
    if layer.variables is None or layer.family is None:
        raise AssertionError("an input layer without variables")  # pragma: no cover
    column = graph.unsqueeze(graph.take(columns, layer.variables), 1)
    missing = graph.op("IsNaN", column)
    variables = [plan.variables[v] for v in layer.variables.tolist()]
    if not layer.tabular:
        leaf = leaf_of(layer.family.keyword)
        known = graph.op("Where", missing, graph.constant(leaf.somewhere), column)
        nodes = LeafNodes(graph, weights, number, known, variables)
        return graph.op("Where", missing, graph.constant(0.0), leaf.log_density(nodes))
    states = graph.constant(np.arange(variables[0].cardinality).reshape(1, -1, 1))
    here = graph.op("Equal", column, states)
    if layer.group < 0:
        return graph.cast(graph.op("Or", here, missing))
    x = graph.op("MatMul", weights.table(number), graph.cast(here))
    x = graph.op("Where", missing, graph.constant(1.0), x)  # a sum over states would be rounded
    return x if layer.form == Form.LINEAR else graph.op("Log", x)
