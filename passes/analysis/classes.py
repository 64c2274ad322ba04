"""Which inputs of the root belong to which state of a variable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir.arrays import Int
from pccompiler.ir.kinds import PRODUCTS, factors

Bool = NDArray[np.bool_]


def classes(circuit: Circuit, variable: int) -> Int | None:
    """The only state of ``variable`` in which each input of the root, a dense sum, is positive.

    Only indicators count, since parameters may take any value in training.

    Args:
        circuit: A smooth and decomposable circuit.
        variable: Index of a discrete variable.

    Returns:
        Shape (fan-in,); ``None`` if the root is not a dense sum, an input has several states, or
        the variable has leaves other than indicators.
    """
    leaves = circuit.variable == variable
    if circuit.kind[circuit.root] != Kind.SUM or (circuit.family[leaves] != Family.INDICATOR).any():
        return None
    words = circuit.scopes.table[:, variable // 64] >> np.uint64(variable % 64)
    within = (words & np.uint64(1)).astype(np.bool_)[circuit.scopes.index]
    within[circuit.root] = False
    states: dict[int, Bool] = {}
    for node in np.flatnonzero(within).tolist():
        states[node] = _states(circuit, node, variable, states)
    found = np.concatenate([states[j] for j in circuit.operands_of(circuit.root).tolist()])
    if (found.sum(axis=1) != 1).any():
        return None
    return np.asarray(found.argmax(axis=1), np.int64)


def _states(circuit: Circuit, node: int, variable: int, known: dict[int, Bool]) -> Bool:
    """The states in which each unit may be positive, shape (units, states)."""
    number = circuit.variables[variable].cardinality
    shape = int(circuit.units[node]), number
    kind = int(circuit.kind[node])
    if kind == Kind.INPUT:
        return np.eye(number, dtype=np.bool_)
    operands = circuit.operands_of(node).tolist()
    if kind in PRODUCTS:
        ones = (np.ones((int(circuit.units[j]), number), np.bool_) for j in operands)
        parts = [known.get(j, all_) for j, all_ in zip(operands, ones, strict=True)]
        return np.asarray(np.logical_and.reduce(np.stack(factors(kind, parts))), np.bool_)
    if kind == Kind.MIXTURE:
        return np.asarray(np.logical_or.reduce([known[j] for j in operands]), np.bool_)
    found = np.concatenate([known[j] for j in operands]).any(axis=0)
    return np.broadcast_to(found, shape)
