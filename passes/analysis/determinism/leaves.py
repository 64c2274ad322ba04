"""The supports of leaves (where they are not zero), as sets of classes of values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Int, ranges, segments
from pccompiler.ir.families.classes import classes
from pccompiler.ir.families.supports import interior

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
    family, owned = circuit.family_of(nodes[0]), circuit.weight[nodes].tolist()
    given = circuit.weights.values
    if owned[0] in given:
        return family.positive(np.concatenate([given[weight] for weight in owned]), variable)
    units = int(circuit.units[nodes[0]])
    table = interior(family.parameters, units, family.columns(variable))
    return np.tile(family.positive(table, variable), (len(nodes), 1))
