"""Pushes constants of units up to the root, so that the rows of all weights sum to one.

Every unit's function is a constant times a function that sums (or integrates) to one. A leaf's
constant is given; a product's is the product of its operands'; a sum's is the weighted sum. With
``Z_i = sum_j w_ij Z_j``, the weights ``w_ij Z_j / Z_i`` sum to one, and the root's constant is the
circuit's scale. Units whose constant is 0 get an arbitrary row: their consumers' weight is 0.

Source:
    Peharz et al. (2015), "On Theoretical Properties of Sum-Product Networks", theorem 2; Zhao et
    al. (2015), "On the Relationship between Sum-Product Networks and Bayesian Networks".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float, Int, ranges, segments
from pccompiler.ir.kinds import SUMS, factors, is_product
from pccompiler.ir.topology import by_level
from pccompiler.passes.rewriting.editor import Draft

ROUNDING = 1e-12
"""Rows that sum to 1 within this are left alone, so that a second run changes nothing."""


class Units(NamedTuple):
    """All units of a circuit, numbered in one sequence; those of node i start at ``offset[i]``."""

    offset: Int
    total: int

    @classmethod
    def of(cls, circuit: Circuit) -> Units:
        """The units of ``circuit``."""
        pointer = segments(circuit.units)
        return cls(pointer[:-1], int(pointer[-1]))

    def spread(self, circuit: Circuit, nodes: Int) -> Int:
        """The units of ``nodes``, node by node."""
        return ranges(self.offset[nodes], circuit.units[nodes])


class Normalized(NamedTuple):
    """What `push_up` found.

    Attributes:
        log_mass: Shape (units,), the logarithm of each unit's constant, in nats.
        tables: Node to new weights, for the sums whose weights change.
    """

    log_mass: Float
    tables: dict[int, Float]


def normalize(circuit: Circuit, leaves: Float | None = None) -> Circuit:
    """The same function with rows that sum to one; their constant moves into ``log_scale``.

    Args:
        circuit: Smooth and decomposable, with non-negative weights.
        leaves: Shape (units,), log-constants of the units of inputs; elsewhere 0.

    Raises:
        CircuitError: If the function is 0 everywhere, or a weight without values lies between a
            constant and the root.
    """
    units = Units.of(circuit)
    found = push_up(circuit, np.zeros(units.total) if leaves is None else leaves)
    scale = float(found.log_mass[units.offset[circuit.root]])
    if scale == -np.inf:
        raise CircuitError.of(
            "PC140",
            f"the circuit is 0 everywhere: the root {circuit.label(circuit.root)} has mass 0",
            location=circuit.where(circuit.root),
            help="no weights can make it sum to 1; give some world a positive weight",
        )
    draft = Draft(circuit)
    give_tables(draft, found.tables)
    if abs(scale) <= ROUNDING:
        return draft.finish()
    return draft.finish(log_scale=circuit.log_scale + scale, generator=circuit.generator)


def give_tables(draft: Draft, tables: dict[int, Float]) -> None:
    """Give nodes new weights; nodes that shared a weight and still agree share the new one."""
    known: dict[tuple[int, bytes], int] = {}
    for node, table in tables.items():
        key = (int(draft.circuit.weight[node]), table.tobytes())
        if key not in known:
            known[key] = draft.add_weight(table, heir_of=key[0])
        draft.weight[node] = known[key]
        draft.changed = True


def push_up(circuit: Circuit, leaves: Float) -> Normalized:
    """The constants of all units, and the weights that make rows sum to one."""
    units = Units.of(circuit)
    mass = leaves.copy()
    off = _off_rows(circuit)
    tables: dict[int, Float] = {}
    for nodes in by_level(circuit.levels)[1:]:
        kind = circuit.kind[nodes]
        _elementwise(circuit, units, nodes[kind == Kind.PRODUCT], mass)
        for node in nodes[is_product(kind) & (kind != Kind.PRODUCT)].tolist():
            _product(circuit, units, node, mass)
        sums = nodes[np.isin(kind, SUMS)]
        if len(sums):
            _sums(circuit, units, sums, off, mass, tables)
    return Normalized(mass, tables)


def _off_rows(circuit: Circuit) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether the given values of each weight have rows that do not sum to one."""
    off = np.zeros(len(circuit.weights), np.bool_)
    users = np.isin(circuit.kind, SUMS)
    of_sums = set(np.unique(circuit.weight[users]).tolist())
    given = [(w, table) for w, table in circuit.weights.values.items() if w in of_sums]
    if not given:
        return off
    shapes: dict[tuple[int, ...], list[tuple[int, Float]]] = {}
    for weight, table in given:
        shapes.setdefault(table.shape, []).append((weight, table))
    for members in shapes.values():
        stack = np.stack([table for _, table in members])
        wrong = np.abs(stack.sum(axis=2) - 1.0) > ROUNDING
        off[[weight for weight, _ in members]] = wrong.any(axis=1)
    return off


def _elementwise(circuit: Circuit, units: Units, nodes: Int, mass: Float) -> None:
    edges = circuit.edges_of(nodes)
    below = circuit.operands[edges]
    owner = np.repeat(nodes, circuit.fan_in[nodes])
    source = units.spread(circuit, below)
    target = ranges(units.offset[owner], circuit.units[below])
    loaded = mass[source] != 0.0
    np.add.at(mass, target[loaded], mass[source[loaded]])


def _product(circuit: Circuit, units: Units, node: int, mass: Float) -> None:
    operands = circuit.operands_of(node).tolist()
    below = [mass[units.offset[j] : units.offset[j] + circuit.units[j]] for j in operands]
    total = np.sum(factors(int(circuit.kind[node]), below), axis=0)
    mass[units.offset[node] : units.offset[node] + len(total)] = total


def _sums(
    circuit: Circuit,
    units: Units,
    nodes: Int,
    off: np.ndarray[tuple[int], np.dtype[np.bool_]],
    mass: Float,
    tables: dict[int, Float],
) -> None:
    """Constants and new weights of the sums of one level."""
    edges = circuit.edges_of(nodes)
    below = circuit.operands[edges]
    loads = np.add.reduceat(
        mass[units.spread(circuit, below)] != 0.0, segments(circuit.units[below])[:-1]
    )
    loaded = np.logical_or.reduceat(loads, segments(circuit.fan_in[nodes])[:-1])
    for node in nodes[loaded | off[circuit.weight[nodes]]].tolist():
        start, stop = int(units.offset[node]), int(units.offset[node] + circuit.units[node])
        columns = _columns(circuit, units, node, mass)
        table = circuit.weights.values.get(int(circuit.weight[node]))
        if table is None:
            mass[start:stop] = _common(circuit, node, columns)
        else:
            mass[start:stop], tables[node] = rescaled(table, columns)


def _columns(circuit: Circuit, units: Units, node: int, mass: Float) -> Float:
    """Log-constants of the inputs of a sum's rows, shape (1 or rows, columns)."""
    operands = circuit.operands_of(node)
    found = mass[units.spread(circuit, operands)]
    if circuit.kind[node] == Kind.MIXTURE:
        return np.asarray(found.reshape(len(operands), -1).T)
    return found[None, :]


def _common(circuit: Circuit, node: int, columns: Float) -> float:
    """The constant shared by all inputs of a sum without given weights."""
    first = float(columns.flat[0])
    if not np.allclose(columns, first, rtol=ROUNDING, atol=ROUNDING):
        weight = circuit.weights.label(int(circuit.weight[node]))
        raise CircuitError.of(
            "PC141",
            f"weight {weight} of sum {circuit.label(node)} has no given values, but its operands "
            "have different constants, which the values would have to absorb",
            location=circuit.where(node),
            help="give values, for instance those of a trained model: model.trained_circuit()",
        )
    return first


def rescaled(table: Float, columns: Float) -> tuple[Float, Float]:
    """Log-constants of a sum's rows, and the rows divided by their constants.

    Args:
        table: Weights, shape (rows, columns), not negative.
        columns: Log-constants of the inputs, shape (1 or rows, columns).
    """
    top = columns.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    weighted = table * np.exp(columns - top)
    total = weighted.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        rows = np.where(total > 0.0, weighted / total, 1.0 / table.shape[1])
        return (np.log(total) + top)[:, 0], rows
