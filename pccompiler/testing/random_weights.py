"""Random values for the weights of a circuit."""

from __future__ import annotations

import numpy as np

from pccompiler.ir import Circuit, Family
from pccompiler.ir.arrays import Float


def random_weights(
    circuit: Circuit, seed: int | np.random.Generator = 0, *, zeros: bool = False
) -> dict[int, Float]:
    """Weight id to values that fit: Dirichlet rows, probabilities, means and deviations.

    Args:
        circuit: Gives shapes and families.
        seed: Number or generator.
        zeros: Whether about a third of the probabilities are exactly 0 or 1.
    """
    rng = np.random.default_rng(seed)
    values: dict[int, Float] = {}
    for node in np.flatnonzero(circuit.weight >= 0).tolist():
        weight = int(circuit.weight[node])
        if weight not in values:
            shape = (int(circuit.weights.rows[weight]), int(circuit.weights.columns[weight]))
            values[weight] = _values(Family.CATEGORICAL, shape, rng, zeros)
            if circuit.family[node] >= 0:
                values[weight] = _values(Family(int(circuit.family[node])), shape, rng, zeros)
    return values


def _values(family: Family, shape: tuple[int, int], rng: np.random.Generator, zeros: bool) -> Float:
    if family in (Family.GAUSSIAN, Family.LAPLACE):
        return np.stack([rng.normal(size=shape[0]), rng.uniform(0.5, 2.0, shape[0])], axis=1)
    if family == Family.POISSON:
        return rng.uniform(0.2, 4.0, shape)
    if family in (Family.BERNOULLI, Family.BINOMIAL):
        draw = rng.uniform(size=shape)
        return np.where(rng.random(shape) < 0.3, np.round(draw), draw) if zeros else draw
    table = rng.gamma(1.0, size=shape) + 1e-3
    if zeros:
        table = np.where(rng.random(shape) < 0.3, 0.0, table)
        table[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] += 1e-2
    rows: Float = table / table.sum(axis=1, keepdims=True)
    return rows


def with_values(circuit: Circuit, values: dict[int, Float]) -> Circuit:
    """The circuit with ``values`` as its given weights."""
    return circuit.with_values(values)
