"""Gamma leaves."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.counting import log_gamma
from pccompiler.onnx_backend.leaves.base import LeafNodes, OnnxLeaf


class GammaOnnxLeaf(OnnxLeaf):
    """A power and an exponential. ONNX has no gamma function: the normalizer is a number."""

    keyword = "gamma"
    somewhere = 1.0

    def log_density(self, leaf: LeafNodes) -> str:
        """In float64: large terms cancel where the concentration is large."""
        graph, zero = leaf.graph, leaf.graph.constant(0.0, np.float64)
        x = graph.wide(leaf.values)
        inside = graph.op("Greater", x, zero)
        known = graph.op("Where", inside, x, graph.constant(1.0, np.float64))
        power = leaf.derived("powers", lambda v: v[..., :1] - 1.0)
        rate = leaf.derived("rates", lambda v: v[..., 1:])
        normalizer = leaf.derived("log_normalizers", _log_normalizer)
        logs = graph.op("Mul", power, graph.op("Log", known))
        logs = graph.op("Sub", logs, graph.op("Mul", rate, known))
        logs = graph.op("Add", logs, normalizer)
        nothing = graph.constant(-np.inf, np.float64)
        return graph.cast(graph.op("Where", inside, logs, nothing))


def _log_normalizer(values: Float) -> Float:
    concentration, rate = values[..., :1], values[..., 1:]
    return np.asarray(concentration * np.log(rate) - log_gamma(concentration))
