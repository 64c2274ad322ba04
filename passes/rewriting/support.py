"""The set of worlds where a circuit is positive: as a circuit, and world by world.

Parameters without values count as positive, as they do for determinism.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Family, Kind, Variable, WeightTable
from pccompiler.ir.arrays import Float, segments
from pccompiler.ir.families.builtin.histogram import normalized
from pccompiler.ir.kinds import PRODUCTS, SUMS, factors
from pccompiler.passes.rewriting.constants import normalize
from pccompiler.passes.rewriting.leaf_products import given, states

Bool = NDArray[np.bool_]


def support(circuit: Circuit, variables: Sequence[Variable]) -> Circuit:
    """The circuit that is 1 where ``circuit`` is positive, and 0 elsewhere.

    Its ``log_scale`` is the logarithm of the number of these worlds.

    Args:
        circuit: Smooth, decomposable and deterministic, over discrete variables.
            Without determinism, the value of a world is the number of its derivations instead.
        variables: Variables with as many states as those of the circuit, which take their place.

    Source:
        Darwiche and Marquis (2002), "A Knowledge Compilation Map", for counting models.
    """
    inputs = np.flatnonzero(circuit.kind == Kind.INPUT).tolist()
    first = segments(circuit.units)
    leaves = np.zeros(int(first[-1]))
    tables: dict[int, Float] = {}
    for node in inputs:
        rows = _states(circuit, node).astype(np.float64)
        tables[node], leaves[first[node] : first[node + 1]] = normalized(rows)
    for node in np.flatnonzero(np.isin(circuit.kind, SUMS)).tolist():
        tables[node] = _weights(circuit, node).astype(np.float64)
    owners = np.array(list(tables), np.int64)
    weight, family = np.full(circuit.num_nodes, -1), np.full(circuit.num_nodes, -1)
    weight[owners], family[inputs] = np.arange(len(owners)), Family.CATEGORICAL
    shapes = np.array([table.shape for table in tables.values()], np.int64)
    values = dict(enumerate(tables.values()))
    return normalize(
        circuit.replace(
            variables=tuple(variables),
            family=family,
            weight=weight,
            weights=WeightTable(shapes[:, 0], shapes[:, 1], {}, values),
            log_scale=0.0,
            sectors=None,
            generator=None,
        ),
        leaves,
    )


def free(circuit: Circuit) -> list[int]:
    """Variables that the support does not depend on: those whose leaves are positive everywhere."""
    bound = {
        int(circuit.variable[node])
        for node in np.flatnonzero(circuit.kind == Kind.INPUT).tolist()
        if not _states(circuit, node).all()
    }
    return [v for v in range(len(circuit.variables)) if v not in bound]


def positive(circuit: Circuit, worlds: NDArray[np.int64]) -> Bool:
    """Whether the circuit is positive in each world: the definition, in truth values.

    Args:
        circuit: Over discrete variables.
        worlds: Shape (worlds, variables).
    """
    values: list[Bool] = []
    for node, kind in enumerate(circuit.kind.tolist()):
        below = [values[j] for j in circuit.operands_of(node).tolist()]
        if kind == Kind.INPUT:
            values.append(_states(circuit, node)[:, worlds[:, int(circuit.variable[node])]])
        elif kind in PRODUCTS:
            values.append(_all(np.stack(factors(kind, below))))
        else:
            values.append(_any(_weights(circuit, node), kind, below))
    return _all(values[circuit.root])


def _states(circuit: Circuit, node: int) -> Bool:
    """The states in which each unit of an input is positive, shape (units, states)."""
    variable = circuit.variables[int(circuit.variable[node])]
    if _open(circuit, node):
        return np.ones((int(circuit.units[node]), variable.cardinality), np.bool_)
    return np.asarray(states(circuit, node, variable) > 0.0, np.bool_)


def _weights(circuit: Circuit, node: int) -> Bool:
    """Which weights of a sum are positive."""
    if _open(circuit, node):
        weight = circuit.weight[node]
        shape = int(circuit.weights.rows[weight]), int(circuit.weights.columns[weight])
        return np.ones(shape, np.bool_)
    return np.asarray(given(circuit, node) > 0.0, np.bool_)


def _open(circuit: Circuit, node: int) -> bool:
    """Whether a node has parameters without values, which count as positive."""
    weight = int(circuit.weight[node])
    return weight >= 0 and weight not in circuit.weights.values


def _all(values: Bool) -> Bool:
    return np.asarray(values.all(axis=0), np.bool_)


def _any(weights: Bool, kind: int, below: list[Bool]) -> Bool:
    """Which units of a sum have a positive operand of positive weight, shape (units, worlds)."""
    if kind == Kind.MIXTURE:
        return np.asarray((weights.T[:, :, None] & np.stack(below)).any(axis=0), np.bool_)
    found = weights.astype(np.float32) @ np.concatenate(below).astype(np.float32)
    return np.asarray(found > 0.0, np.bool_)
