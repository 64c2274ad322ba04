"""Negative binomial leaves."""

from __future__ import annotations

import math

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.counting import log_gamma
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.leaves.arithmetic import log_factorial, times_log
from pccompiler.onnx_backend.leaves.base import LeafNodes, OnnxLeaf

_SHIFT = 10
"""Stirling's series is used at this number and above, where it is off by less than 1e-12."""


class NegativeBinomialOnnxLeaf(OnnxLeaf):
    """Failures before a number of successes."""

    keyword = "negative_binomial"

    def log_density(self, leaf: LeafNodes) -> str:
        """In float64: large terms cancel."""
        graph = leaf.graph
        counts = graph.wide(leaf.values)
        successes = leaf.derived("successes", lambda v: v[..., :1])
        log_failure = leaf.derived("log_failures", lambda v: np.asarray(np.log1p(-v[..., 1:])))
        normalizer = leaf.derived("log_normalizers", _log_normalizer)
        ways = _log_gamma(graph, graph.op("Add", counts, successes))
        ways = graph.op("Sub", ways, log_factorial(graph, counts))
        gain = graph.op("Add", times_log(graph, counts, log_failure), normalizer)
        return graph.cast(graph.op("Add", ways, gain))


def _log_normalizer(values: Float) -> Float:
    successes, p = values[..., :1], values[..., 1:]
    return np.asarray(successes * np.log(p) - log_gamma(successes))


def _log_gamma(graph: Graph, z: str) -> str:
    """Of positive numbers: Stirling's series ten further on, and back by the recurrence."""
    product = z
    for step in range(1, _SHIFT):
        further = graph.op("Add", z, graph.constant(float(step), np.float64))
        product = graph.op("Mul", product, further)
    far = graph.op("Add", z, graph.constant(float(_SHIFT), np.float64))
    inverse = graph.op("Div", graph.constant(1.0, np.float64), far)
    square = graph.op("Mul", inverse, inverse)
    series = graph.constant(-1.0 / 1680.0, np.float64)
    for term in (1.0 / 1260.0, -1.0 / 360.0, 1.0 / 12.0):
        series = graph.op("Add", graph.op("Mul", series, square), graph.constant(term, np.float64))
    rest = graph.op("Mul", series, inverse)
    half = graph.op("Sub", far, graph.constant(0.5, np.float64))
    value = graph.op("Sub", graph.op("Mul", half, graph.op("Log", far)), far)
    value = graph.op("Add", value, graph.constant(0.5 * math.log(2.0 * math.pi), np.float64))
    value = graph.op("Add", value, rest)
    return graph.op("Sub", value, graph.op("Log", product))
