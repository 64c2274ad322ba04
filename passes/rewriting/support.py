"""The set of worlds where a circuit is positive: as a circuit, and world by world."""

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
        circuit: Smooth, decomposable and deterministic, with given values, over discrete variables.
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
        rows = states(circuit, node, circuit.variables[int(circuit.variable[node])]) > 0.0
        tables[node], leaves[first[node] : first[node + 1]] = normalized(rows.astype(np.float64))
    for node in np.flatnonzero(np.isin(circuit.kind, SUMS)).tolist():
        tables[node] = (given(circuit, node) > 0.0).astype(np.float64)
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
        if not states(circuit, node, circuit.variables[int(circuit.variable[node])]).all()
    }
    return [v for v in range(len(circuit.variables)) if v not in bound]


def positive(circuit: Circuit, worlds: NDArray[np.int64]) -> Bool:
    """Whether the circuit is positive in each world: the definition, in truth values.

    Args:
        circuit: With given values, over discrete variables.
        worlds: Shape (worlds, variables).
    """
    values: list[Bool] = []
    for node, kind in enumerate(circuit.kind.tolist()):
        below = [values[j] for j in circuit.operands_of(node).tolist()]
        if kind == Kind.INPUT:
            variable = int(circuit.variable[node])
            table = states(circuit, node, circuit.variables[variable]) > 0.0
            values.append(table[:, worlds[:, variable]])
        elif kind in PRODUCTS:
            values.append(_all(np.stack(factors(kind, below))))
        else:
            values.append(_any(given(circuit, node) > 0.0, kind, below))
    return _all(values[circuit.root])


def _all(values: Bool) -> Bool:
    return np.asarray(values.all(axis=0), np.bool_)


def _any(weights: Bool, kind: int, below: list[Bool]) -> Bool:
    """Which units of a sum have a positive operand of positive weight, shape (units, worlds)."""
    if kind == Kind.MIXTURE:
        return np.asarray((weights.T[:, :, None] & np.stack(below)).any(axis=0), np.bool_)
    found = weights.astype(np.float32) @ np.concatenate(below).astype(np.float32)
    return np.asarray(found > 0.0, np.bool_)
