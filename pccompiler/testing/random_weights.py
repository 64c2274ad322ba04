"""Random values for the weights of a circuit."""

from __future__ import annotations

import numpy as np

from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.supports import WEIGHTS, split


def random_weights(
    circuit: Circuit, seed: int | np.random.Generator = 0, *, zeros: bool = False
) -> dict[int, Float]:
    """Valid values by weight id: Dirichlet rows, probabilities, means and deviations.

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
            values[weight] = _values(circuit, node, shape, rng, zeros)
    return values


def _values(
    circuit: Circuit, node: int, shape: tuple[int, int], rng: np.random.Generator, zeros: bool
) -> Float:
    parameters = circuit.family_of(node).parameters if circuit.family[node] >= 0 else (WEIGHTS,)
    widths = [part.shape[1] for _, part in split(np.zeros(shape), parameters)]
    pairs = zip(parameters, widths, strict=True)
    parts = [p.support.draw(rng, (shape[0], width), zeros) for p, width in pairs]
    return np.concatenate(parts, axis=1)


def with_values(circuit: Circuit, values: dict[int, Float]) -> Circuit:
    """The circuit with ``values`` as its given weights."""
    return circuit.with_values(values)
