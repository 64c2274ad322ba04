"""Histogram leaves."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from pccompiler.onnx_backend.leaves.base import LeafNodes, OnnxLeaf


class HistogramOnnxLeaf(OnnxLeaf):
    """Piecewise constant densities over a variable with edges."""

    keyword = "histogram"

    def log_density(self, leaf: LeafNodes) -> str:
        """The probability of the bin divided by its width; the last bin includes its upper edge."""
        graph = leaf.graph
        exact = np.array([v.edges for v in leaf.variables])
        edges = exact.astype(np.float32)  # like the data, so that a value on an edge stays on it
        lower, upper = edges[:, :-1, None], edges[:, 1:, None].copy()
        upper[:, -1] = np.nextafter(upper[:, -1], np.float32(np.inf))
        above = graph.op("GreaterOrEqual", leaf.values, graph.constant(lower))
        below = graph.op("Less", leaf.values, graph.constant(upper))
        one_hot = graph.cast(graph.op("And", above, below), TensorProto.DOUBLE)
        widths = graph.constant(np.diff(exact)[:, None], np.float64)
        masses = leaf.parameter("probabilities")
        density = graph.op("Div", masses, widths)
        return graph.cast(graph.op("Log", graph.op("MatMul", density, one_hot)))
