"""The supports of leaves (where they are not zero), as sets of classes of values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Family, Kind, Variable
from pccompiler.ir.arrays import Float, Int, ranges, segments

Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LeafSets:
    """Distinct pairs of a variable and a set of its classes.

    Attributes:
        variable: Shape (sets,), the variable of each set.
        members: Shape (sets, most classes of a variable); classes beyond a variable's are False.
        of_unit: Shape (units of the circuit,), the set of each unit; -1 if the set is empty or the
            unit does not belong to a leaf.
        full: Shape (sets,), whether the set has all classes.
    """

    variable: Int
    members: Bool
    of_unit: Int
    full: Bool


def classes(variable: Variable) -> int:
    """Number of classes of values that supports of leaves can distinguish."""
    if variable.discrete:
        return variable.cardinality
    if variable.domain == "count":
        return 2  # zero, more
    return len(variable.edges) or 1  # bins, and outside


def representative(variable: Variable, number: int) -> float:
    """A value of class ``number``."""
    if variable.domain != "real":
        return float(number)
    if not variable.edges:
        return 0.0
    if number == len(variable.edges) - 1:
        return variable.edges[-1] + 1.0
    return (variable.edges[number] + variable.edges[number + 1]) / 2.0


def leaf_sets(circuit: Circuit) -> LeafSets:
    """The sets of all leaf units of ``circuit``."""
    most = max((classes(v) for v in circuit.variables), default=1)
    offset = segments(circuit.units)[:-1]
    of_unit = np.full(int(circuit.units.sum()), -1)
    units: list[Int] = []
    keys: list[NDArray[np.uint8]] = []
    for nodes, table in _tables(circuit):
        bits = np.zeros((len(table), most), np.bool_)
        bits[:, : table.shape[1]] = table
        units.append(ranges(offset[nodes], circuit.units[nodes]))
        variable = np.repeat(circuit.variable[nodes], circuit.units[nodes]).astype(np.uint32)
        packed = np.packbits(bits, axis=1)
        keys.append(np.concatenate([variable[:, None].view(np.uint8), packed], axis=1))
    if not keys:
        none = np.zeros(0, np.int64)
        return LeafSets(none, np.zeros((0, most), np.bool_), of_unit, np.zeros(0, np.bool_))
    whole = np.ascontiguousarray(np.concatenate(keys))
    rows = whole.view(np.dtype((np.void, whole.shape[1]))).ravel()
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    chosen = whole[first]
    over: Int = np.ascontiguousarray(chosen[:, :4]).view(np.uint32).ravel().astype(np.int64)
    members = np.unpackbits(chosen[:, 4:], axis=1, count=most).astype(np.bool_)
    of_unit[np.concatenate(units)] = np.where(members.any(axis=1), np.arange(len(first)), -1)[
        inverse
    ]
    number = np.array([classes(v) for v in circuit.variables], np.int64)[over]
    return LeafSets(over, members, of_unit, members.sum(axis=1) == number)


def _tables(circuit: Circuit) -> list[tuple[Int, Bool]]:
    """Inputs grouped by family, units and domain: nodes, and the classes of each unit."""
    inputs = np.flatnonzero(circuit.kind == Kind.INPUT)
    domains: dict[tuple[object, ...], int] = {}
    sort = [
        domains.setdefault((v.domain, v.cardinality, v.edges), len(domains))
        for v in circuit.variables
    ]
    given = np.zeros(len(circuit.weights) + 1, np.bool_)
    given[list(circuit.weights.values)] = True
    columns = (
        circuit.family[inputs],
        np.array(sort, np.int64)[circuit.variable[inputs]],
        circuit.units[inputs],
        given[circuit.weight[inputs]],  # the last entry stands for no weight
    )
    _, group = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
    group = group.ravel()
    order = np.argsort(group, kind="stable")
    alike = np.split(inputs[order], segments(np.bincount(group))[1:-1])
    return [(nodes, _members(circuit, nodes)) for nodes in alike if len(nodes)]


def _members(circuit: Circuit, nodes: Int) -> Bool:
    """Shape (units of the nodes, classes), for inputs that differ only in their values."""
    variable = circuit.variables[int(circuit.variable[nodes[0]])]
    family, number = Family(int(circuit.family[nodes[0]])), classes(variable)
    if family == Family.INDICATOR:
        return np.tile(np.eye(number, dtype=np.bool_), (len(nodes), 1))
    total = int(circuit.units[nodes].sum())
    first = circuit.weights.values.get(int(circuit.weight[nodes[0]]))
    if family == Family.HISTOGRAM and first is None:
        inside = np.ones((total, number), np.bool_)
        inside[:, -1] = False
        return inside
    if first is None or family in (Family.GAUSSIAN, Family.LAPLACE):
        return np.ones((total, number), np.bool_)
    tables = [circuit.weights.values[w] for w in circuit.weight[nodes].tolist()]
    return _positive(family, np.concatenate(tables), number)


def _positive(family: Family, table: Float, number: int) -> Bool:
    if family == Family.BERNOULLI:
        return np.concatenate([table < 1.0, table > 0.0], axis=1)
    if family == Family.BINOMIAL:
        inner = (table > 0.0) & (table < 1.0)
        result = np.repeat(inner, number, axis=1)
        result[:, :1] |= table < 1.0
        result[:, -1:] |= table > 0.0
        return result
    if family == Family.POISSON:
        return np.concatenate([np.ones_like(table, np.bool_), table > 0.0], axis=1)
    if family == Family.HISTOGRAM:
        return np.concatenate([table > 0.0, np.zeros((len(table), 1), np.bool_)], axis=1)
    return np.asarray(table > 0.0)
