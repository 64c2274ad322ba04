"""The definition of a circuit by brute force: float64, without logarithms or plans."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.errors import DataError
from pccompiler.ir import Circuit, Family, Kind, Variable

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
        weights: Weight id to values; by default the circuit's given values.

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
    kind = circuit.kind[node]
    if kind == Kind.INPUT:
        return _leaf(circuit, node, table, float(world[circuit.variable[node]]))
    if kind == Kind.PRODUCT:
        return np.array([math.prod(column) for column in zip(*operands, strict=True)])
    if kind == Kind.KRONECKER:
        return np.array([math.prod(choice) for choice in itertools.product(*operands)])
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
    family = circuit.family[node]
    if family == Family.INDICATOR:
        return np.array([float(state == j) for j in range(int(circuit.units[node]))])
    variable = circuit.variables[int(circuit.variable[node])]
    return np.array([_DENSITIES[Family(int(family))](row, state, variable) for row in table])


def _gaussian(row: Float, state: float, _variable: Variable) -> float:
    mean, deviation = row.tolist()
    scaled = (state - mean) / deviation
    return float(math.exp(-0.5 * scaled**2) / (deviation * math.sqrt(2 * math.pi)))


def _binomial(row: Float, state: float, variable: Variable) -> float:
    successes, failures = int(state), variable.cardinality - 1 - int(state)
    ways = math.comb(successes + failures, successes)
    return float(ways * row[0] ** successes * (1.0 - row[0]) ** failures)


def _poisson(row: Float, state: float, _variable: Variable) -> float:
    return float(row[0] ** int(state)) * math.exp(-row[0]) / math.factorial(int(state))


def _laplace(row: Float, state: float, _variable: Variable) -> float:
    location, scale = row.tolist()
    return float(math.exp(-abs(state - location) / scale) / (2.0 * scale))


def _histogram(row: Float, state: float, variable: Variable) -> float:
    bins = list(itertools.pairwise(variable.edges))
    for mass, (low, high) in zip(row.tolist(), bins, strict=True):
        if low <= state < high or state == high == variable.edges[-1]:
            return float(mass / (high - low))
    return 0.0


_DENSITIES: dict[Family, Callable[[Float, float, Variable], float]] = {
    Family.BERNOULLI: lambda row, state, _: float(row[0] if state == 1 else 1.0 - row[0]),
    Family.CATEGORICAL: lambda row, state, _: float(row[int(state)]),
    Family.GAUSSIAN: _gaussian,
    Family.BINOMIAL: _binomial,
    Family.POISSON: _poisson,
    Family.LAPLACE: _laplace,
    Family.HISTOGRAM: _histogram,
}


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
