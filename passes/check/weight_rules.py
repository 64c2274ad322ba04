"""Rules for weights: PC106, and for sectors PC110 and PC125."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir.arrays import Float, Int, segment_sum
from pccompiler.ir.circuit import input_columns
from pccompiler.ir.coverage import gap
from pccompiler.ir.families.supports import WEIGHTS, Parameter, Simplex, slices, split
from pccompiler.ir.sectors import partition
from pccompiler.passes.check.rule import NO_NODE, Fault, Rule, title

TOLERANCE = 1e-6
"""Tolerance of row sums: rounding to float32 or to six printed digits."""


def _wrong_shape(circuit: Circuit) -> Int:
    nodes = np.flatnonzero(circuit.weight >= 0)
    weight, table = circuit.weight[nodes], circuit.weights
    wrong = table.rows[weight] != circuit.units[nodes]
    culprits: Int = nodes[wrong | (table.columns[weight] != _columns(circuit)[nodes])]
    return culprits


def _describe_wrong_shape(circuit: Circuit, node: int) -> Fault:
    weight, table = int(circuit.weight[node]), circuit.weights
    return Fault(
        f"weight {table.label(weight)} has shape {table.rows[weight]} x {table.columns[weight]}, "
        f"but {title(circuit, node)} needs {circuit.units[node]} x {_columns(circuit)[node]}",
        "share weights only between nodes of the same shape",
    )


def _wrong_owner(circuit: Circuit) -> Int:
    nodes = np.flatnonzero(circuit.weight >= 0)
    owner = _owner_kinds(circuit)
    first = _first_owners(circuit)[circuit.weight[nodes]]
    culprits: Int = nodes[owner[nodes] != owner[first]]
    return culprits


def _describe_wrong_owner(circuit: Circuit, node: int) -> Fault:
    weight = int(circuit.weight[node])
    first = int(_first_owners(circuit)[weight])
    return Fault(
        f"weight {circuit.weights.label(weight)} belongs to {_owner(circuit, first)} and to "
        f"{_owner(circuit, node)}",
        "share weights only between nodes of the same kind and family",
    )


def _misshapen_values(circuit: Circuit) -> Int:
    given = _given(circuit)
    if not given:
        return NO_NODE[:0]
    shapes, first = _shapes(circuit), _first_owners(circuit)
    return np.unique(first[[w for w, values in given.items() if values.shape != shapes[w]]])


def _describe_misshapen_values(circuit: Circuit, node: int) -> Fault:
    weight = int(circuit.weight[node])
    values = " x ".join(str(size) for size in circuit.weights.values[weight].shape)
    rows, columns = _shapes(circuit)[weight]
    return Fault(
        f"weight {circuit.weights.label(weight)} of {title(circuit, node)} has shape "
        f"{rows} x {columns}, but its given values have shape {values}",
        "give one row per unit, and one column per unit of the operands or per parameter",
    )


class Flaw(NamedTuple):
    """Invalid given values.

    Attributes:
        mask: Shape (weights, rows, columns or 1), over the columns of one parameter.
        message: The error message.
        help: A way out.
        columns: The columns of the parameter.
    """

    mask: NDArray[np.bool_]
    message: str
    help: str
    columns: slice = slice(None)


def parameters_of(family: int) -> tuple[Parameter, ...]:
    """The parameters of a leaf family, or of sums (-1)."""
    return (WEIGHTS,) if family < 0 else Family(family).parameters


def _flaws(family: int, tables: Float) -> Iterator[Flaw]:
    """The possible flaws of values, shape (weights, rows, columns), of one owner kind."""
    yield Flaw(~np.isfinite(tables), "has {value:g} in row {row}", "give finite numbers")
    parameters = parameters_of(family)
    for place, (parameter, values) in zip(
        slices(parameters, tables.shape[2]), split(tables, parameters), strict=True
    ):
        what = f"{parameter.words} " if len(parameters) > 1 else ""
        yield Flaw(
            parameter.support.outside(values),
            f"has {what}{{value:g}} in row {{row}}",
            parameter.support.help.format(words=parameter.words),
            place,
        )
        if isinstance(parameter.support, Simplex):
            yield Flaw(
                np.abs(_totals(values) - 1.0) > TOLERANCE,
                "has row {row} that sums to {total:.9g}",
                "divide each row by its sum, or run the 'normalize' pass",
                place,
            )


def _totals(tables: Float) -> Float:
    """The flaw of row sums, with a single column."""
    with np.errstate(invalid="ignore"):  # infinities are separate flaws
        totals: Float = tables.sum(axis=-1, keepdims=True)
    return totals


Flaws = Callable[[int, Float], Iterable[Flaw]]
"""The possible flaws of values, shape (weights, rows, columns), of a family or of sums (-1)."""


def flawed_values(circuit: Circuit, flaws: Flaws) -> Int:
    """The first owner of each flawed table of given values, ascending.

    Values are stacked by owner and shape, so that a million small weights take few operations.
    """
    given = _given(circuit)
    if not given:
        return NO_NODE[:0]
    shapes, first = _shapes(circuit), _first_owners(circuit)
    families = circuit.family[first].tolist()
    stacks: dict[tuple[int, tuple[int, ...]], list[int]] = {}
    for weight, values in given.items():
        if values.shape == shapes[weight] and values.size:
            stacks.setdefault((families[weight], values.shape), []).append(weight)
    flawed: list[Int] = [NO_NODE[:0]]
    for (family, _), weights in stacks.items():
        tables = np.stack([given[weight] for weight in weights])
        masks = [flaw.mask.any(axis=(1, 2)) for flaw in flaws(family, tables)]
        if masks:
            flawed.append(first[np.array(weights)[np.any(masks, axis=0)]])
    return np.unique(np.concatenate(flawed))


def describe_flaw(circuit: Circuit, node: int, flaws: Flaws) -> Fault:
    """The first flaw of the values that a node owns."""
    weight = int(circuit.weight[node])
    values = circuit.weights.values[weight]
    found = flaws(int(circuit.family[node]), values[None])
    flaw = next(flaw for flaw in found if flaw.mask.any())
    row, column = np.argwhere(flaw.mask[0])[0].tolist()
    values = values[:, flaw.columns]
    told = flaw.message.format(row=row, value=values[row, column], total=_totals(values)[row, 0])
    label = circuit.weights.label(weight)
    return Fault(f"weight {label} of {title(circuit, node)} {told}", flaw.help)


def _stale_sectors(circuit: Circuit) -> Int:
    if circuit.sectors is None or circuit.sectors.by == "own":
        return NO_NODE[:0]
    fresh = partition(circuit, circuit.sectors.policy()).sectors
    return NO_NODE[: int(fresh is None or not circuit.sectors.same_table(fresh))]


def _describe_stale_sectors(circuit: Circuit, _node: int) -> Fault:
    recorded, by = (
        (0, "") if circuit.sectors is None else (len(circuit.sectors), circuit.sectors.by)
    )
    return Fault(
        f"the {recorded:,} recorded sectors do not match the circuit's sums",
        "run the 'sectors' pass after every pass that changes sums or weights; "
        f"for a table of your own, use by='own' instead of by={by!r}",
    )


def _uneven_sectors(circuit: Circuit) -> Int:
    own = circuit.sectors is not None and circuit.sectors.by == "own"
    return NO_NODE[: int(own and _gap(circuit) != "")]


def _gap(circuit: Circuit) -> str:
    return "" if circuit.sectors is None else gap(circuit, circuit.sectors) or ""


def _describe_uneven_sectors(circuit: Circuit, _node: int) -> Fault:
    return Fault(
        f"the table of sectors does not cover its weights exactly once: {_gap(circuit)}",
        "cover every entry of a weight by one sector, or omit the whole weight, which has logits "
        "of its own then",
    )


SECTOR_RULES = (
    Rule("PC110", _stale_sectors, _describe_stale_sectors),
    Rule("PC125", _uneven_sectors, _describe_uneven_sectors),
)
WEIGHT_RULES = (
    Rule("PC106", _wrong_shape, _describe_wrong_shape),
    Rule("PC106", _wrong_owner, _describe_wrong_owner),
    Rule("PC106", _misshapen_values, _describe_misshapen_values),
    Rule(
        "PC106",
        lambda circuit: flawed_values(circuit, _flaws),
        lambda circuit, node: describe_flaw(circuit, node, _flaws),
    ),
    *SECTOR_RULES,
)


def _columns(circuit: Circuit) -> Int:
    """The number of columns that each node's weight must have."""
    fan_in = segment_sum(circuit.units[circuit.operands], circuit.pointer)
    columns = np.where(circuit.kind == Kind.MIXTURE, circuit.fan_in, fan_in)
    inputs = circuit.kind == Kind.INPUT
    columns[inputs] = input_columns(circuit)[inputs]
    return columns


def _owner_kinds(circuit: Circuit) -> Int:
    """A number for each node: nodes with equal numbers may share weights."""
    return np.where(circuit.kind == Kind.INPUT, len(Kind) + circuit.family, circuit.kind)


def _owner(circuit: Circuit, node: int) -> str:
    if circuit.kind[node] != Kind.INPUT:
        return title(circuit, node)
    return f"{circuit.family_of(node).keyword} {title(circuit, node)}"


def _first_owners(circuit: Circuit) -> Int:
    """Shape ``(weights,)``, the first node that uses each weight, or -1."""
    nodes = np.flatnonzero(circuit.weight >= 0)[::-1]
    first = np.full(len(circuit.weights), -1)
    first[circuit.weight[nodes]] = nodes  # the last assignment is that of the first node
    return first


def _shapes(circuit: Circuit) -> list[tuple[int, int]]:
    table = circuit.weights
    return list(zip(table.rows.tolist(), table.columns.tolist(), strict=True))


def _given(circuit: Circuit) -> dict[int, Float]:
    """The given values of weights that are in use."""
    values = circuit.weights.values
    used = set(circuit.weight.tolist()) if values else set[int]()
    return {weight: table for weight, table in values.items() if weight in used and weight >= 0}
