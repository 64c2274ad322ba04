"""Binomial leaves."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from pccompiler.ir.arrays import Float
from pccompiler.onnx_backend.leaves.arithmetic import times_log
from pccompiler.onnx_backend.leaves.base import LeafNodes, OnnxLeaf


class BinomialOnnxLeaf(OnnxLeaf):
    """The number of successes in a variable's trials."""

    keyword = "binomial"

    def log_density(self, leaf: LeafNodes) -> str:
        """In float64, as large terms cancel for large counts."""
        graph = leaf.graph
        trials = np.array([v.cardinality - 1.0 for v in leaf.variables]).reshape(-1, 1, 1)
        successes = graph.wide(leaf.values)
        failures = graph.op("Sub", graph.constant(trials, np.float64), successes)
        factorials = np.array([math.lgamma(k + 1.0) for k in range(int(trials.max()) + 1)])
        table = graph.constant(factorials, np.float64)
        value = graph.constant(factorials[trials.astype(np.int64)], np.float64)
        logs = self._log_outcomes(leaf)
        for place, times in enumerate((failures, successes)):
            index = graph.cast(times, TensorProto.INT64)
            value = graph.op("Sub", value, graph.op("Gather", table, index, axis=0))
            log = graph.slice(logs, place, place + 1, axis=2)
            value = graph.op("Add", times_log(graph, times, log), value)
        return graph.cast(value)

    def _log_outcomes(self, leaf: LeafNodes) -> str:
        """Logarithms of the probabilities of failure and success."""

        def of_values(values: Float) -> Float:
            return np.asarray(np.log(np.concatenate([1.0 - values, values], axis=2)))

        return leaf.derived(
            "log_outcomes",
            of_values,
            lambda _: leaf.graph.op("Log", leaf.weights.outcomes(leaf.number)),
        )
