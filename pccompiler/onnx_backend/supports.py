"""Nodes in float64 that map unconstrained numbers into each support.

`pccompiler.ir.families.supports` is the reference, in NumPy.
"""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families import supports as ir
from pccompiler.onnx_backend.graph import Graph

_FAR = 1000.0  # a logit that represents infinity: exp(-1000) is 0 in float64


class Support:
    """The real line, and the base class of the other supports."""

    def constrain(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """Numbers in the support, from a float64 tensor of shape (weights, rows, columns)."""
        return raw

    def outcomes(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """Probabilities of all outcomes."""
        raise AssertionError("numbers that are not probabilities")  # pragma: no cover

    def outcome_values(self, values: Float) -> Float:
        """`outcomes` of constrained numbers."""
        return values


class Positive(Support):
    """Positive numbers, by exp."""

    def constrain(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """``exp(raw)``."""
        return graph.op("Exp", raw)


class UnitInterval(Support):
    """The probability of the second of two outcomes."""

    def constrain(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """The probability of the second outcome."""
        return graph.slice(self.outcomes(graph, raw, floor, columns), 1, 2, axis=2)

    def outcomes(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """Both probabilities, by softmax: ONNX Runtime's Sigmoid is 0 from -18 down."""
        bounds = (graph.constant(bound, np.float64) for bound in (-_FAR, _FAR))
        raw = graph.op("Clip", raw, *bounds)
        zeros = graph.op("Mul", raw, graph.constant(0.0, np.float64))
        return SIMPLEX.outcomes(graph, graph.concat([zeros, raw], axis=2), floor, 2)

    def outcome_values(self, values: Float) -> Float:
        """Both."""
        return np.concatenate([1.0 - values, values], axis=2)


class Simplex(Support):
    """Probabilities that sum to one along the last axis, raised by the floor."""

    def constrain(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """Softmax along the last axis."""
        return self.outcomes(graph, raw, floor, columns)

    def outcomes(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """Softmax along the last axis."""
        weights = graph.op("Softmax", raw, axis=-1)
        if floor == 0.0:
            return weights
        lifted = graph.op("Add", weights, graph.constant(floor, np.float64))
        return graph.op("Div", lifted, graph.constant(1.0 + columns * floor, np.float64))


SIMPLEX = Simplex()
_SUPPORTS: dict[type[ir.Support], Support] = {
    ir.Real: Support(),
    ir.Positive: Positive(),
    ir.UnitInterval: UnitInterval(),
    ir.Simplex: SIMPLEX,
}


def support_of(support: ir.Support) -> Support:
    """The nodes of a support, or of its base class."""
    return next(_SUPPORTS[kind] for kind in type(support).__mro__ if kind in _SUPPORTS)
