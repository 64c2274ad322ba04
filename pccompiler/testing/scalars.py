"""Scalar circuits, like those from knowledge compilers and structure learners."""

from __future__ import annotations

import numpy as np

from pccompiler.ir import Builder, Circuit, Family, Kind
from pccompiler.ir.arrays import Float
from pccompiler.ir.kinds import PRODUCTS
from pccompiler.testing.random_weights import with_values


def to_scalars(circuit: Circuit) -> Circuit:
    """A circuit of scalar nodes with the same function.

    All weights need values. Rows of a shared weight are shared. Indicators become Bernoulli and
    categorical leaves with probabilities 0 and 1.
    """
    return _Expansion(circuit).run()


class _Expansion:
    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.builder = Builder(circuit.variables)
        self.units: list[list[int]] = []
        self.weights: dict[tuple[int, int], int] = {}
        self.values: dict[int, Float] = {}

    def run(self) -> Circuit:
        for node in range(self.circuit.num_nodes):
            self.units.append(self.expand(node))
        made = self.builder.build(self.units[self.circuit.root][0])
        return with_values(made, self.values).replace(log_scale=self.circuit.log_scale)

    def expand(self, node: int) -> list[int]:
        kind = Kind(int(self.circuit.kind[node]))
        if kind == Kind.INPUT:
            return self.leaves(node)
        operands = [self.units[below] for below in self.circuit.operands_of(node).tolist()]
        if kind in PRODUCTS:
            places = PRODUCTS[kind].places([len(units) for units in operands]).tolist()
            chosen = ([u[p] for u, p in zip(operands, row, strict=True)] for row in places)
            return [self.builder.product(units) for units in chosen]
        if kind == Kind.MIXTURE:
            rows = [list(units) for units in zip(*operands, strict=True)]
        else:
            rows = [[unit for units in operands for unit in units]] * int(self.circuit.units[node])
        return [
            self.sum(row, int(self.circuit.weight[node]), unit) for unit, row in enumerate(rows)
        ]

    def sum(self, operands: list[int], weight: int, unit: int) -> int:
        known = self.weights.get((weight, unit))
        shared = None if known is None else np.array([known])
        (node,) = self.builder.sums([operands], 1, weights=shared)
        self.note(int(node), weight, unit, self.circuit.weights.values[weight][unit])
        return int(node)

    def note(self, node: int, weight: int, unit: int, row: Float) -> None:
        mine = int(self.builder.weight_of([node])[0])
        self.weights[weight, unit] = mine
        self.values[mine] = row.reshape(1, -1)

    def leaves(self, node: int) -> list[int]:
        variable, weight = int(self.circuit.variable[node]), int(self.circuit.weight[node])
        family = self.circuit.family_of(node)
        if family != Family.INDICATOR:
            table = self.circuit.weights.values[weight]
        elif self.circuit.variables[variable].cardinality == 2:
            family, weight, table = Family.BERNOULLI, -1 - node, np.array([[0.0], [1.0]])
        else:
            states = self.circuit.variables[variable].cardinality
            family, weight, table = Family.CATEGORICAL, -1 - node, np.eye(states)
        return [self.leaf(variable, family, weight, unit, row) for unit, row in enumerate(table)]

    def leaf(self, variable: int, family: Family, weight: int, unit: int, row: Float) -> int:
        known = self.weights.get((weight, unit))
        shared = None if known is None else np.array([known])
        (node,) = self.builder.inputs([variable], family, 1, weights=shared)
        self.note(int(node), weight, unit, row)
        return int(node)
