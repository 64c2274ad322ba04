"""Laplace leaves."""

from __future__ import annotations

import math

from pccompiler.onnx_backend.leaves.base import LeafNodes, OnnxLeaf
from pccompiler.onnx_backend.leaves.places import scaled


class LaplaceOnnxLeaf(OnnxLeaf):
    """Two exponential tails."""

    keyword = "laplace"

    def log_density(self, leaf: LeafNodes) -> str:
        """The log-density in float32."""
        graph = leaf.graph
        away, log_normalizer = scaled(leaf, math.log(2.0))
        return graph.op("Sub", graph.op("Neg", graph.op("Abs", away)), log_normalizer)
