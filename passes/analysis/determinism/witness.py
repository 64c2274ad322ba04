"""A world in which two operands of a sum are nonzero, evaluated by the definition in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.classes import representative
from pccompiler.ir.families.supports import WEIGHTS, interior
from pccompiler.ir.kinds import PRODUCTS, factors

Unit = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Witness:
    """Two operands of one sum that are nonzero in one world.

    Attributes:
        node: The sum.
        unit: Its unit.
        operands: Two pairs (node, unit) that it mixes with positive weights.
        world: Shape (variables,): a value for each variable.
        log_values: Log-values of the operands in that world, in nats; weights without values count
            as uniform.
    """

    node: int
    unit: int
    operands: tuple[Unit, Unit]
    world: tuple[float, ...]
    log_values: tuple[float, float]


def world_of(circuit: Circuit, chosen: dict[int, int]) -> Float:
    """A complete row from the classes of some variables; the others get their first class."""
    return np.array(
        [representative(v, chosen.get(i, 0)) for i, v in enumerate(circuit.variables)], np.float64
    )


def confirm(circuit: Circuit, node: int, unit: int, world: Float) -> Witness | None:
    """The witness in ``world``, if there is one, by evaluating all nodes below the sum."""
    values = log_values(circuit, node, world)
    found: list[tuple[Unit, float]] = []
    for operand, below in _terms(circuit, node, unit):
        value = float(values[operand][below])
        if value > -np.inf:
            found.append(((operand, below), value))
    if len(found) < 2:
        return None
    (one, first), (two, second) = found[:2]
    return Witness(
        node=node,
        unit=unit,
        operands=(one, two),
        world=tuple(world.tolist()),
        log_values=(first, second),
    )


def _terms(circuit: Circuit, node: int, unit: int) -> list[Unit]:
    """The units that a sum's unit mixes with positive weights."""
    operands = circuit.operands_of(node).tolist()
    if circuit.kind[node] == Kind.MIXTURE:
        terms = [(j, unit) for j in operands]
    else:
        terms = [(j, below) for j in operands for below in range(int(circuit.units[j]))]
    row = _table(circuit, node)[unit]
    return [term for term, weight in zip(terms, row.tolist(), strict=True) if weight > 0.0]


def log_values(circuit: Circuit, root: int, world: Float) -> dict[int, Float]:
    """Log-values of all units of all nodes under ``root`` in one complete world: the definition."""
    needed = np.zeros(circuit.num_nodes, np.bool_)
    frontier = np.array([root])
    while len(frontier):
        needed[frontier] = True
        below = np.unique(circuit.operands[circuit.edges_of(frontier)])
        frontier = below[~needed[below]]
    values: dict[int, Float] = {}
    for node in np.flatnonzero(needed).tolist():
        operands = [values[j] for j in circuit.operands_of(node).tolist()]
        values[node] = _value(circuit, node, operands, world)
    return values


def _value(circuit: Circuit, node: int, operands: list[Float], world: Float) -> Float:
    kind = int(circuit.kind[node])
    if kind == Kind.INPUT:
        return _leaf(circuit, node, float(world[circuit.variable[node]]))
    if kind in PRODUCTS:
        return np.asarray(np.sum(factors(kind, operands), axis=0))
    table = _table(circuit, node)
    columns = np.concatenate(operands)[None] if kind == Kind.SUM else np.stack(operands, axis=1)
    with np.errstate(divide="ignore"):
        return np.asarray(np.logaddexp.reduce(np.log(table) + columns, axis=1))


def _leaf(circuit: Circuit, node: int, value: float) -> Float:
    variable = circuit.variables[int(circuit.variable[node])]
    table, state = _table(circuit, node)[None], np.array([[[value]]])
    return circuit.family_of(node).log_density(table, state, [variable])[0, :, 0]


def _table(circuit: Circuit, node: int) -> Float:
    """Given values, or positive ones if there are none."""
    weight = int(circuit.weight[node])
    given = circuit.weights.values.get(weight)
    if given is not None:
        return given
    columns = int(circuit.weights.columns[weight]) if weight >= 0 else 0
    own = circuit.family_of(node).parameters if circuit.kind[node] == Kind.INPUT else (WEIGHTS,)
    return interior(own, int(circuit.units[node]), columns)
