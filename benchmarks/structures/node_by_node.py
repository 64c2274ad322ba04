"""The baseline of packing: a circuit evaluated node by node, vectorised over rows of the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Kind

Float = NDArray[np.float64]


class NodeByNode:
    """Scalar circuits in log space and float64, with one or a few NumPy calls per node."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.operands = [circuit.operands_of(node) for node in range(circuit.num_nodes)]
        values = circuit.weights.values
        with np.errstate(divide="ignore"):
            self.logs = {w: np.log(table[0])[:, None] for w, table in values.items()}

    def log_likelihood(self, x: Float) -> Float:
        """Log-likelihood of each row of ``x``, in nats."""
        circuit = self.circuit
        kinds, weights = circuit.kind.tolist(), circuit.weight.tolist()
        value = np.empty((circuit.num_nodes, len(x)))
        with np.errstate(divide="ignore", invalid="ignore"):
            for node, kind in enumerate(kinds):
                if kind == Kind.INPUT:
                    value[node] = self.leaf(node, x)
                elif kind == Kind.PRODUCT:
                    value[node] = value[self.operands[node]].sum(axis=0)
                else:
                    terms = value[self.operands[node]] + self.logs[weights[node]]
                    top = terms.max(axis=0)
                    top[top == -np.inf] = 0.0
                    value[node] = np.log(np.exp(terms - top).sum(axis=0)) + top
        result: Float = value[circuit.root]
        return result

    def leaf(self, node: int, x: Float) -> Float:
        """Log-probability of one leaf."""
        circuit = self.circuit
        variable = int(circuit.variable[node])
        table = circuit.weights.values[int(circuit.weight[node])][None]
        state = x[:, variable][None, None]
        out: Float = circuit.family_of(node).log_density(
            table, state, [circuit.variables[variable]]
        )[0, 0]
        return out
