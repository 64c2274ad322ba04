"""Input layers as nodes; a missing value gives 1 (0 in log form)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from onnx import TensorProto

from pccompiler.ir.families import Family
from pccompiler.ir.plan.layers import Form, Layer
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.variables import Variable
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.weights import WeightWriter

_TABLED = 64
"""Log-factorials below are looked up; beyond, Stirling is off by 1 / (1260 k^5) < 1e-12."""


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
    if layer.variables is None or layer.family is None:
        raise AssertionError("an input layer without variables")  # pragma: no cover
    column = graph.unsqueeze(graph.take(columns, layer.variables), 1)
    missing = graph.op("IsNaN", column)
    if layer.family in _LOG_DENSITIES:
        zero = graph.constant(0.0)
        known = graph.op("Where", missing, zero, column)
        variables = [plan.variables[v] for v in layer.variables.tolist()]
        value = _LOG_DENSITIES[layer.family](graph, weights, number, known, variables)
        return graph.op("Where", missing, zero, value)
    numbers = graph.constant(np.arange(_states(plan, layer)).reshape(1, -1, 1))
    here = graph.op("Equal", column, numbers)
    if layer.family == Family.INDICATOR:
        return graph.cast(graph.op("Or", here, missing))
    x = graph.op("MatMul", weights.table(number), graph.cast(here))
    x = graph.op("Where", missing, graph.constant(1.0), x)  # the sum over states would be rounded
    return x if layer.form == Form.LINEAR else graph.op("Log", x)


def _states(plan: Plan, layer: Layer) -> int:
    if layer.family == Family.BERNOULLI or layer.variables is None:
        return 2
    return plan.variables[int(layer.variables[0])].cardinality


def _gaussian(
    graph: Graph, weights: WeightWriter, number: int, known: str, _variables: Sequence[Variable]
) -> str:
    table = weights.places(number)
    scaled = graph.op("Div", graph.op("Sub", known, table.middle), table.spread)
    square = graph.op("Mul", graph.op("Mul", scaled, scaled), graph.constant(-0.5))
    return graph.op("Sub", square, table.log_normalizer)


def _laplace(
    graph: Graph, weights: WeightWriter, number: int, known: str, _variables: Sequence[Variable]
) -> str:
    table = weights.places(number)
    distance = graph.op("Abs", graph.op("Sub", known, table.middle))
    scaled = graph.op("Neg", graph.op("Div", distance, table.spread))
    return graph.op("Sub", scaled, table.log_normalizer)


def _poisson(
    graph: Graph, weights: WeightWriter, number: int, known: str, _variables: Sequence[Variable]
) -> str:
    """In float64: three large terms cancel where the count is large."""
    counts, log_rate = graph.cast(known, TensorProto.DOUBLE), weights.log_rates(number)
    gain = graph.op("Sub", _times_log(graph, counts, log_rate), graph.op("Exp", log_rate))
    return graph.cast(graph.op("Sub", gain, _log_factorial(graph, counts)))


def _binomial(
    graph: Graph, weights: WeightWriter, number: int, known: str, variables: Sequence[Variable]
) -> str:
    """In float64, as `_poisson`."""
    trials = np.array([v.cardinality - 1.0 for v in variables]).reshape(-1, 1, 1)
    successes = graph.cast(known, TensorProto.DOUBLE)
    failures = graph.op("Sub", graph.constant(trials, np.float64), successes)
    factorials = np.array([math.lgamma(k + 1.0) for k in range(int(trials.max()) + 1)])
    table = graph.constant(factorials, np.float64)
    value = graph.constant(factorials[trials.astype(np.int64)], np.float64)
    logs = weights.log_exact(number)
    for place, times in enumerate((failures, successes)):
        index = graph.cast(times, TensorProto.INT64)
        value = graph.op("Sub", value, graph.op("Gather", table, index, axis=0))
        log = graph.slice(logs, place, place + 1, axis=2)
        value = graph.op("Add", _times_log(graph, times, log), value)
    return graph.cast(value)


def _histogram(
    graph: Graph, weights: WeightWriter, number: int, known: str, variables: Sequence[Variable]
) -> str:
    """The probability of the bin over its width, in float64; the last bin has its upper edge."""
    exact = np.array([v.edges for v in variables])
    edges = exact.astype(np.float32)  # as the data, so that a value on an edge stays on it
    lower, upper = edges[:, :-1, None], edges[:, 1:, None].copy()
    upper[:, -1] = np.nextafter(upper[:, -1], np.float32(np.inf))
    above = graph.op("GreaterOrEqual", known, graph.constant(lower))
    below = graph.op("Less", known, graph.constant(upper))
    one_hot = graph.cast(graph.op("And", above, below), TensorProto.DOUBLE)
    widths = graph.constant(np.diff(exact)[:, None], np.float64)
    density = graph.op("Div", weights.exact_table(number), widths)
    return graph.cast(graph.op("Log", graph.op("MatMul", density, one_hot)))


def _times_log(graph: Graph, times: str, log: str) -> str:
    """``times * log``, with 0 times -inf = 0; float64."""
    zero = graph.constant(0.0, np.float64)
    nothing = graph.op("Equal", times, zero)
    return graph.op("Where", nothing, zero, graph.op("Mul", times, log))


def _log_factorial(graph: Graph, counts: str) -> str:
    """Of whole numbers in float64: a table, and Stirling's series beyond it."""
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


_Writer = Callable[[Graph, WeightWriter, int, str, Sequence[Variable]], str]
_LOG_DENSITIES: dict[Family, _Writer] = {
    Family.GAUSSIAN: _gaussian,
    Family.BINOMIAL: _binomial,
    Family.POISSON: _poisson,
    Family.LAPLACE: _laplace,
    Family.HISTOGRAM: _histogram,
}
