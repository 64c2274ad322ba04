"""Parameters of unconstrained numbers as nodes in float64, support by support.

`pccompiler.ir.families.supports` is the definition, in NumPy.
"""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families import supports as ir
from pccompiler.onnx_backend.graph import Graph

_FAR = 1000.0  # a logit that stands for infinity: exp(-1000) is 0 in float64


class Support:
    """The real line. The other supports differ from it method by method."""

    def constrain(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """Numbers in the support, from a float64 tensor of shape (weights, rows, columns)."""
        return raw

    def outcomes(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """Probabilities of all outcomes."""
        raise AssertionError("numbers that are no probabilities")  # pragma: no cover

    def outcome_values(self, values: Float) -> Float:
        """`outcomes` of constrained numbers."""
        return values


class Positive(Support):
    """Positive numbers, by exp."""

    def constrain(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """``exp(raw)``."""
        return graph.op("Exp", raw)


class UnitInterval(Support):
    """Probabilities of the second of two outcomes."""

    def constrain(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """That of the second."""
        return graph.slice(self.outcomes(graph, raw, floor, columns), 1, 2, axis=2)

    def outcomes(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """Both, by softmax: ONNX Runtime's Sigmoid is 0 from -18 down."""
        bounds = (graph.constant(bound, np.float64) for bound in (-_FAR, _FAR))
        raw = graph.op("Clip", raw, *bounds)
        zeros = graph.op("Mul", raw, graph.constant(0.0, np.float64))
        return SIMPLEX.outcomes(graph, graph.concat([zeros, raw], axis=2), floor, 2)

    def outcome_values(self, values: Float) -> Float:
        """Both."""
        return np.concatenate([1.0 - values, values], axis=2)


class Simplex(Support):
    """Probabilities that sum to one along the last axis, lifted by the floor."""

    def constrain(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """By softmax."""
        return self.outcomes(graph, raw, floor, columns)

    def outcomes(self, graph: Graph, raw: str, floor: float, columns: int) -> str:
        """By softmax."""
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
    """The nodes of a support, or of the one that it is derived from."""
    return next(_SUPPORTS[kind] for kind in type(support).__mro__ if kind in _SUPPORTS)
