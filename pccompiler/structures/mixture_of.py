"""Mixtures of given circuits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Family, Kind, WeightTable
from pccompiler.ir.arrays import Float, Int, segments
from pccompiler.ir.circuit import select

TOLERANCE = 1e-6
"""How far the sum of given weights may be from 1, as for all given rows."""


def mixture_of(
    circuits: Sequence[Circuit],
    weights: ArrayLike | None = None,
    *,
    share_indicators: bool = True,
) -> Circuit:
    """A sum of one unit over circuits of the same variables.

    The circuits' weights stay separate and keep their values. If two circuits use the same name,
    the circuit's number is appended after a dot. Sectors and generators are dropped.

    Args:
        circuits: Circuits with the same variables in the same order.
        weights: A probability for each circuit. ``None``: uniform if some circuit has given values,
            otherwise left to training. Scales of the circuits (``log_scale``) are folded into given
            or uniform weights and the mixture's scale.
        share_indicators: Whether circuits use the indicators of the first one that has them.

    Raises:
        OptionError: If there are no circuits, variables or scales differ, or weights do not fit.
    """
    _check(circuits)
    given = _given(circuits, weights)
    scales = np.array([circuit.log_scale for circuit in circuits])
    if given is None and (scales != scales[0]).any():
        raise OptionError.of(
            "PC345",
            "the circuits have different scales, but the mixture's weights are left to training",
            notes=[f"the scales are {', '.join(f'{scale:g}' for scale in scales[:5])}"],
            help="give weights, or circuits with the same log_scale",
        )
    scale = float(scales[0])
    if given is not None and (scales != scales[0]).any():
        given, scale = _fold(given, scales)
    joined = _join(circuits, given).replace(log_scale=scale)
    return _share_indicators(joined) if share_indicators else joined


def _check(circuits: Sequence[Circuit]) -> None:
    if not circuits:
        raise OptionError.of("PC344", "there is no circuit to mix", help="give at least one")
    for number, circuit in enumerate(circuits):
        if circuit.variables != circuits[0].variables:
            pairs = zip(circuits[0].variables, circuit.variables, strict=False)
            notes = [f"{a.name!r} is {a}, {b.name!r} is {b}" for a, b in pairs if a != b][:1]
            raise OptionError.of(
                "PC344",
                f"circuit {number} and circuit 0 have different variables",
                notes=notes or [f"{len(circuit.variables)} against {len(circuits[0].variables)}"],
                help="give circuits over the same variables, in the same order",
            )


def _given(circuits: Sequence[Circuit], weights: ArrayLike | None) -> Float | None:
    if weights is None:
        some = any(circuit.weights.values for circuit in circuits)
        return np.full(len(circuits), 1.0 / len(circuits)) if some else None
    given = np.asarray(weights, np.float64).ravel()
    fits = len(given) == len(circuits) and bool((given >= 0.0).all())
    if not fits or not abs(float(given.sum()) - 1.0) <= TOLERANCE:
        raise OptionError.of(
            "PC346",
            f"the weights {np.array2string(given, threshold=5)} are not probabilities of "
            f"{len(circuits)} circuits",
            help="give one non-negative weight for each circuit, with sum 1",
        )
    return given


def _fold(given: Float, scales: Float) -> tuple[Float, float]:
    """Weights times scales, normalized, and the remaining log-scale."""
    with np.errstate(divide="ignore"):
        logs = np.log(given) + scales
    total = float(np.logaddexp.reduce(logs))
    return np.exp(logs - total), total


@dataclass(frozen=True)
class _Offsets:
    """Where each circuit's nodes, weights and locations start."""

    node: Int
    weight: Int
    location: Int


def _join(circuits: Sequence[Circuit], given: Float | None) -> Circuit:
    start = _Offsets(
        segments(np.array([circuit.num_nodes for circuit in circuits])),
        segments(np.array([len(circuit.weights) for circuit in circuits])),
        segments(np.array([len(circuit.locations) for circuit in circuits])),
    )
    top = int(start.weight[-1])
    roots = [c.root + at for c, at in zip(circuits, start.node[:-1].tolist(), strict=True)]
    fan_in = [*(circuit.fan_in for circuit in circuits), np.array([len(circuits)])]
    return Circuit(
        variables=circuits[0].variables,
        kind=_column([c.kind for c in circuits], int(Kind.SUM)),
        units=_column([c.units for c in circuits], 1),
        pointer=segments(np.concatenate(fan_in)),
        operands=np.concatenate([*_shift([c.operands for c in circuits], start.node), roots]),
        family=_column([c.family for c in circuits], -1),
        variable=_column([c.variable for c in circuits], -1),
        weight=_column(_shift([c.weight for c in circuits], start.weight), top),
        root=int(start.node[-1]),
        weights=_weights(circuits, start.weight, given),
        names=_names([c.names for c in circuits], start.node),
        location=_column(_shift([_location(c) for c in circuits], start.location), -1),
        locations=tuple(place for circuit in circuits for place in circuit.locations),
    )


def _column(parts: Sequence[Int], last: int) -> Int:
    return np.concatenate([*parts, [last]])


def _shift(columns: Sequence[Int], starts: Int) -> list[Int]:
    """Each circuit's ids, shifted by its start; -1 stays."""
    pairs = zip(columns, starts[:-1].tolist(), strict=True)
    return [np.where(column < 0, -1, column + start) for column, start in pairs]


def _location(circuit: Circuit) -> Int:
    return np.full(circuit.num_nodes, -1) if circuit.location is None else circuit.location


def _weights(circuits: Sequence[Circuit], starts: Int, given: Float | None) -> WeightTable:
    tables = [circuit.weights for circuit in circuits]
    values = {
        weight + start: rows
        for table, start in zip(tables, starts[:-1].tolist(), strict=True)
        for weight, rows in table.values.items()
    }
    if given is not None:
        values[int(starts[-1])] = given[None, :]
    return WeightTable(
        _column([table.rows for table in tables], 1),
        _column([table.columns for table in tables], len(circuits)),
        _names([table.names for table in tables], starts),
        values,
    )


def _names(names: Sequence[Mapping[int, str]], starts: Int) -> dict[int, str]:
    """The names of all circuits; a name that is taken gets a number after a dot."""
    result: dict[int, str] = {}
    taken: set[str] = set()
    for number, (mine, start) in enumerate(zip(names, starts[:-1].tolist(), strict=True)):
        reserved = set(mine.values())
        for node, name in mine.items():
            free, tries = name, number
            while free in taken or (free != name and free in reserved):
                free, tries = f"{name}.{tries}", tries + 1
            taken.add(free)
            result[node + start] = free
    return result


def _share_indicators(circuit: Circuit) -> Circuit:
    indicators = np.flatnonzero(circuit.family == Family.INDICATOR)
    if not len(indicators):
        return circuit
    _, first, inverse = np.unique(
        circuit.variable[indicators], return_index=True, return_inverse=True
    )
    stands_for = np.arange(circuit.num_nodes)
    stands_for[indicators] = indicators[first[inverse]]
    keep = stands_for == np.arange(circuit.num_nodes)
    return select(circuit.replace(operands=stands_for[circuit.operands]), keep)
