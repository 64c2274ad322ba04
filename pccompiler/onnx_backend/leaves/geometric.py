"""Geometric leaves."""

from __future__ import annotations

import numpy as np

from pccompiler.onnx_backend.leaves.arithmetic import times_log
from pccompiler.onnx_backend.leaves.base import LeafNodes, OnnxLeaf


class GeometricOnnxLeaf(OnnxLeaf):
    """Failures, then a success."""

    keyword = "geometric"

    def log_density(self, leaf: LeafNodes) -> str:
        """In float64, as other counts."""
        graph = leaf.graph
        log_failure = leaf.derived("log_failures", lambda v: np.asarray(np.log1p(-v)))
        log_success = leaf.derived("log_successes", lambda v: np.asarray(np.log(v)))
        failures = times_log(graph, graph.wide(leaf.values), log_failure)
        return graph.cast(graph.op("Add", failures, log_success))
