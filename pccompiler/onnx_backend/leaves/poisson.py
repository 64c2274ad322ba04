"""Poisson leaves."""

from __future__ import annotations

import numpy as np

from pccompiler.onnx_backend.leaves.arithmetic import log_factorial, times_log
from pccompiler.onnx_backend.leaves.base import LeafNodes, OnnxLeaf


class PoissonOnnxLeaf(OnnxLeaf):
    """Counts of events."""

    keyword = "poisson"

    def log_density(self, leaf: LeafNodes) -> str:
        """In float64, as three large terms cancel for large counts."""
        graph = leaf.graph
        counts = graph.wide(leaf.values)
        log_rate = leaf.derived("log_rates", np.log, graph.wide)
        gain = graph.op("Sub", times_log(graph, counts, log_rate), graph.op("Exp", log_rate))
        return graph.cast(graph.op("Sub", gain, log_factorial(graph, counts)))
