"""Brute-force evaluation of circuits in float64, without logarithms or plans: the definition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.errors import DataError
from pccompiler.ir import Circuit, Kind, Variable
from pccompiler.ir.kinds import PRODUCTS, factors

Float = NDArray[np.float64]
Weights = Mapping[int, Float]


def worlds(circuit: Circuit) -> Float:
    """All joint states of discrete variables, shape (worlds, variables)."""
    states = (range(v.cardinality) for v in circuit.variables)
    return np.array(list(itertools.product(*states)), np.float64).reshape(
        -1, len(circuit.variables)
    )


def density(circuit: Circuit, world: ArrayLike, weights: Weights | None = None) -> float:
    """The circuit's value at one complete world, directly from sums and products.

    Args:
        circuit: Any circuit.
        world: Shape ``(variables,)``, without missing values.
        weights: Values by weight id; by default the circuit's given values.

    Raises:
        DataError: If a value is missing or not a state of its variable.
    """
    given = circuit.weights.values if weights is None else weights
    point = np.asarray(world, np.float64)
    for variable, value in zip(circuit.variables, point.tolist(), strict=True):
        _check_value(variable, value)
    values: list[Float] = []
    for node in range(circuit.num_nodes):
        operands = [values[j] for j in circuit.operands_of(node).tolist()]
        table = given[int(circuit.weight[node])] if circuit.weight[node] >= 0 else np.zeros((0, 0))
        values.append(_node(circuit, node, operands, table, point))
    return float(values[circuit.root][0]) * math.exp(circuit.log_scale)


def _node(circuit: Circuit, node: int, operands: list[Float], table: Float, world: Float) -> Float:
    """Values of all units of a node."""
    kind = int(circuit.kind[node])
    if kind == Kind.INPUT:
        return _leaf(circuit, node, table, float(world[circuit.variable[node]]))
    if kind in PRODUCTS:
        return np.array([math.prod(row) for row in zip(*factors(kind, operands), strict=True)])
    if kind == Kind.SUM:
        inputs = [value for operand in operands for value in operand]
        return np.array(
            [math.fsum(w * v for w, v in zip(row, inputs, strict=True)) for row in table]
        )
    return np.array(
        [
            math.fsum(w * operand[unit] for w, operand in zip(row, operands, strict=True))
            for unit, row in enumerate(table)
        ]
    )


def _leaf(circuit: Circuit, node: int, table: Float, state: float) -> Float:
    family = circuit.family_of(node)
    variable = circuit.variables[int(circuit.variable[node])]
    rows = table if family.parameters else np.zeros((int(circuit.units[node]), 0))
    return np.exp(family.log_density(rows[None], np.full((1, 1, 1), state), [variable])[0, :, 0])


def _check_value(variable: Variable, value: float) -> None:
    fits = value in range(variable.cardinality) if variable.discrete else not math.isnan(value)
    if variable.domain == "count":
        fits = value >= 0 and value == int(value)
    if not fits:
        raise DataError.of(
            "PC401",
            f"{value} is not a value of {variable.domain} variable {variable.name!r}",
            help="give a complete world; 'marginal' sums out missing discrete values",
        )


def marginal(circuit: Circuit, row: ArrayLike, weights: Weights | None = None) -> float:
    """Sum of the densities of all completions of a row with missing (NaN) discrete values.

    Raises:
        DataError: If a real variable is missing, since its completions cannot be enumerated.
    """
    point = np.asarray(row, np.float64)
    choices = [
        range(variable.cardinality) if math.isnan(value) and variable.discrete else (value,)
        for variable, value in zip(circuit.variables, point.tolist(), strict=True)
    ]
    completions = itertools.product(*choices)
    return math.fsum(density(circuit, world, weights) for world in completions)


def total_mass(circuit: Circuit, weights: Weights | None = None) -> float:
    """Sum of the densities of all worlds; 1 for a normalized circuit."""
    return math.fsum(density(circuit, world, weights) for world in worlds(circuit))
