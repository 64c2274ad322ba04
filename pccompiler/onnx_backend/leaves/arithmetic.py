"""Functions that several densities need, as nodes in float64."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from pccompiler.onnx_backend.graph import Graph

_TABLED = 64
"""Smaller log-factorials are looked up; above, Stirling's error is 1 / (1260 k^5) < 1e-12."""


def times_log(graph: Graph, times: str, log: str) -> str:
    """``times * log`` in float64, where 0 times -inf is 0."""
    zero = graph.constant(0.0, np.float64)
    nothing = graph.op("Equal", times, zero)
    return graph.op("Where", nothing, zero, graph.op("Mul", times, log))


def log_factorial(graph: Graph, counts: str) -> str:
    """Log-factorials of whole numbers in float64: a table, and Stirling's series beyond it."""
    number = graph.constant(float(_TABLED), np.float64)
    low = graph.op("Min", counts, graph.constant(_TABLED - 1.0, np.float64))
    table = graph.constant([math.lgamma(k + 1.0) for k in range(_TABLED)], np.float64)
    looked_up = graph.op("Gather", table, graph.cast(low, TensorProto.INT64), axis=0)
    k = graph.op("Max", counts, number)
    half = graph.constant(0.5, np.float64)
    powers = graph.op("Mul", graph.op("Add", k, half), graph.op("Log", k))
    start = graph.op("Sub", powers, k)
    inverse = graph.op("Div", graph.constant(1.0, np.float64), k)
    square = graph.op("Mul", inverse, inverse)
    terms = graph.op("Mul", square, graph.constant(-1.0 / 360.0, np.float64))
    terms = graph.op("Add", terms, graph.constant(1.0 / 12.0, np.float64))
    rest = graph.op("Mul", terms, inverse)
    rest = graph.op("Add", rest, graph.constant(0.5 * math.log(2.0 * math.pi), np.float64))
    series = graph.op("Add", start, rest)
    return graph.op("Where", graph.op("Less", counts, number), looked_up, series)
