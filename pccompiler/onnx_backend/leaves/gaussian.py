"""Gaussian leaves."""

from __future__ import annotations

import math

from pccompiler.onnx_backend.leaves.base import LeafNodes, OnnxLeaf
from pccompiler.onnx_backend.leaves.places import scaled

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


class GaussianOnnxLeaf(OnnxLeaf):
    """The normal density."""

    keyword = "gaussian"

    def log_density(self, leaf: LeafNodes) -> str:
        """The log-density in float32."""
        graph = leaf.graph
        away, log_normalizer = scaled(leaf, _LOG_SQRT_2PI)
        square = graph.op("Mul", graph.op("Mul", away, away), graph.constant(-0.5))
        return graph.op("Sub", square, log_normalizer)
