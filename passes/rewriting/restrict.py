"""Drops variables from a circuit by fixing them to a value or summing them out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir import Circuit, Kind, Variable
from pccompiler.ir.arrays import Float
from pccompiler.ir.kinds import PRODUCTS, is_product
from pccompiler.ir.sizes import CODE, MOST_MADE
from pccompiler.ir.topology import by_level
from pccompiler.passes.rewriting.constants import Units, give_tables, push_up
from pccompiler.passes.rewriting.editor import Bool, Draft
from pccompiler.passes.rewriting.leaf_products import given


def restrict(circuit: Circuit, values: Mapping[int, float], *, keep_scale: bool) -> Circuit:
    """The circuit without the variables in ``values``.

    Args:
        circuit: Smooth and decomposable, with weight values wherever they are needed.
        values: Variable index to its value; NaN sums or integrates the variable out.
        keep_scale: Whether the result's scale includes the probability of the values: the result
            is then p(rest, values), otherwise p(rest | values).

    Raises:
        CircuitError: If no variable is left, the values have probability 0, or a weight without
            given values lies above a fixed variable.
    """
    if not values:
        return circuit
    _check_rest(circuit, values)
    units = Units.of(circuit)
    found = push_up(circuit, _constants(circuit, units, values))
    scale = float(found.log_mass[units.offset[circuit.root]])
    if scale == -np.inf:
        names = ", ".join(f"{circuit.variables[v].name}={x:g}" for v, x in values.items())
        raise CircuitError.of(
            "PC143",
            f"the evidence has probability 0: {names}",
            help="give evidence that has positive probability under the circuit",
        )
    gone = _gone(circuit, values)
    draft = Draft(circuit)
    give_tables(draft, found.tables)
    _drop(draft, gone)
    left = np.array([v not in values for v in range(len(circuit.variables))])
    draft.variable = np.where(draft.variable < 0, -1, (np.cumsum(left) - 1)[draft.variable])
    return draft.finish(
        variables=tuple(v for v, stays in zip(circuit.variables, left, strict=True) if stays),
        log_scale=circuit.log_scale + scale if keep_scale else 0.0,
        generator=circuit.generator,
    )


def _check_rest(circuit: Circuit, values: Mapping[int, float]) -> None:
    if len(values) == len(circuit.variables):
        raise CircuitError.of(
            "PC144",
            "no variable is left: all of them are fixed or summed out",
            help="leave one, or evaluate the circuit: its log-likelihood is the number you want",
        )


def find(circuit: Circuit, name: str | int) -> int:
    """The index of a variable, by name or index.

    Raises:
        OptionError: If there is none.
    """
    names = [variable.name for variable in circuit.variables]
    if isinstance(name, str) and name in names:
        return names.index(name)
    if not isinstance(name, str) and 0 <= name < len(names):
        return name
    raise OptionError.of(
        "PC327",
        f"the circuit has no variable {name!r}",
        help="use one of: " + ", ".join(names[:8]) + (", ..." if len(names) > 8 else ""),
    )


def check_state(variable: Variable, value: float) -> float:
    """``value``, if ``variable`` can have it.

    Raises:
        OptionError: If it cannot.
    """
    whole = value == np.floor(value) and value >= 0
    fits = np.isfinite(value) and (variable.domain == "real" or whole)
    if not fits or (variable.discrete and value >= variable.cardinality):
        raise OptionError.of(
            "PC328",
            f"{value:g} is not a value of variable {variable.name!r}, which is {variable}",
            help="give one of its values",
        )
    return value


def _constants(circuit: Circuit, units: Units, values: Mapping[int, float]) -> Float:
    """Log-densities of the inputs over fixed variables, at their places; elsewhere 0."""
    result = np.zeros(units.total)
    for node in np.flatnonzero(np.isin(circuit.variable, list(values))).tolist():
        variable = int(circuit.variable[node])
        if not np.isnan(values[variable]):
            start, width = int(units.offset[node]), int(circuit.units[node])
            result[start : start + width] = unit_log_densities(circuit, node, values[variable])
    return result


def unit_log_densities(circuit: Circuit, node: int, value: float) -> Float:
    """Log-density of every unit of an input at one value of its variable."""
    variables = [circuit.variables[int(circuit.variable[node])]]
    table, state = given(circuit, node)[None], np.full((1, 1, 1), value)
    return circuit.family_of(node).log_density(table, state, variables)[0, :, 0]


def _gone(circuit: Circuit, values: Mapping[int, float]) -> Bool:
    """Nodes whose scope has dropped variables only."""
    gone: Bool = np.isin(circuit.variable, list(values))
    for nodes in by_level(circuit.levels)[1:]:
        starts = np.cumsum(circuit.fan_in[nodes]) - circuit.fan_in[nodes]
        below = gone[circuit.operands[circuit.edges_of(nodes)]]
        gone[nodes] = np.logical_and.reduceat(below, starts)
    return gone


def _drop(draft: Draft, gone: Bool) -> None:
    """Drop the edges from products to ``gone``; a product with one operand left becomes it."""
    circuit = draft.circuit
    owner = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
    dropped = gone[circuit.operands] & ~gone[owner]
    kind = circuit.kind[owner]
    plain = (kind == Kind.KRONECKER) & (circuit.units[circuit.operands] == 1)
    special = np.unique(owner[dropped & is_product(kind) & (kind != Kind.PRODUCT) & ~plain])
    draft.keep &= ~dropped
    left = np.bincount(owner[draft.keep], minlength=circuit.num_nodes)
    single = np.flatnonzero((left == 1) & (circuit.fan_in > 1) & ~gone)
    single = single[is_product(circuit.kind[single])]
    for node in np.setdiff1d(single, special).tolist():
        start, stop = circuit.pointer[node : node + 2].tolist()
        draft.redirect(node, int(circuit.operands[start:stop][draft.keep[start:stop]][0]))
    for node in special.tolist():
        _repeat(draft, node, gone)
    draft.changed |= bool(dropped.any())


def _repeat(draft: Draft, node: int, gone: Bool) -> None:
    """Rewrite a product whose units do not stay in order without the dropped operands.

    They repeat units of the Kronecker product of the remaining operands, which is written as a sum
    with a single weight of 1 in each row.
    """
    circuit = draft.circuit
    operands, kind = circuit.operands_of(node), int(circuit.kind[node])
    stays = ~gone[operands]
    rest, widths = operands[stays].tolist(), circuit.units[operands]
    left = math.prod(widths[stays].tolist())
    if left * int(circuit.units[node]) > MOST_MADE:
        raise CircuitError.of(
            CODE,
            f"the rest of {Kind(kind).keyword} {circuit.label(node)} needs "
            f"{circuit.units[node]:,} x {left:,} weights; the most that a rewrite makes is "
            f"{MOST_MADE:,}",
            location=circuit.where(node),
            help="give its operands fewer units, or query the model with evidence instead",
        )
    places = PRODUCTS[kind].places(widths.tolist())[:, stays]
    column = np.asarray(np.ravel_multi_index(tuple(places.T), widths[stays]))
    table = np.zeros((len(column), left))
    table[np.arange(len(column)), column] = 1.0
    below = rest[0]
    if len(rest) > 1:
        below = draft.add(Kind.KRONECKER, left, rest, before=node)
    draft.kind[node] = Kind.SUM
    draft.set_operands(node, [below])
    draft.set_weight(node, table)
