"""PC110 and PC128: columns that refer to nothing, and counts that are too large.

`Builder` and `parse` cannot make them; a pass can.
The other rules, and everything after them, index by these columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir import sizes as limits
from pccompiler.ir.arrays import Int
from pccompiler.ir.families.base import registered
from pccompiler.ir.kinds import SUMS
from pccompiler.passes.check.rule import NO_NODE, Fault, Rule, title

_HELP = "fix the pass or program that made the circuit's columns"


def _no_root(circuit: Circuit) -> Int:
    return NO_NODE[: not 0 <= circuit.root < circuit.num_nodes]


def _describe_no_root(circuit: Circuit, _node: int) -> Fault:
    return Fault(
        f"the root is node {circuit.root}, but the circuit has {circuit.num_nodes:,} nodes", _HELP
    )


def _unknown_kind(circuit: Circuit) -> Int:
    return np.flatnonzero((circuit.kind < 0) | (circuit.kind >= len(Kind)))


def _describe_unknown_kind(circuit: Circuit, node: int) -> Fault:
    return Fault(f"node {circuit.label(node)} has unknown kind {circuit.kind[node]}", _HELP)


def _bad_input(circuit: Circuit) -> Int:
    bad = (circuit.variable < 0) | (circuit.variable >= len(circuit.variables))
    bad |= (circuit.family < 0) | (circuit.family >= len(registered()))
    bad |= circuit.fan_in > 0
    return np.flatnonzero(bad & (circuit.kind == Kind.INPUT))


def _describe_bad_input(circuit: Circuit, node: int) -> Fault:
    return Fault(
        f"input {circuit.label(node)} has variable {circuit.variable[node]}, family "
        f"{circuit.family[node]} and {circuit.fan_in[node]} operands",
        f"give inputs one of {len(circuit.variables)} variables, a registered family, and no "
        "operands",
    )


def _no_units(circuit: Circuit) -> Int:
    """Inputs and sums only: PC103 compares the units of products and mixtures with the operands."""
    own = (circuit.kind == Kind.INPUT) | (circuit.kind == Kind.SUM)
    return np.flatnonzero(own & (circuit.units < 1))


def _describe_no_units(circuit: Circuit, node: int) -> Fault:
    return Fault(
        f"{title(circuit, node)} has {circuit.units[node]} units", "give it at least 1 unit"
    )


def _bad_weight(circuit: Circuit) -> Int:
    wanted = np.isin(circuit.kind, SUMS) | (
        (circuit.kind == Kind.INPUT) & (circuit.family > Family.INDICATOR)
    )
    unknown = circuit.weight >= len(circuit.weights)
    return np.flatnonzero(unknown | (wanted != (circuit.weight >= 0)))


def _describe_bad_weight(circuit: Circuit, node: int) -> Fault:
    weight = int(circuit.weight[node])
    if weight >= len(circuit.weights):
        what = f"refers to weight {weight}, but there are only {len(circuit.weights):,}"
    else:
        what = "has no weight" if weight < 0 else f"has weight {circuit.weights.label(weight)}"
    return Fault(
        f"{title(circuit, node)} {what}",
        "give a weight to sums, mixtures and all inputs except indicators, and to no other node",
    )


def _too_wide(circuit: Circuit) -> Int:
    return np.flatnonzero(circuit.units > limits.MOST_UNITS)


def _describe_too_wide(circuit: Circuit, node: int) -> Fault:
    return Fault(
        f"{title(circuit, node)} {limits.wide(int(circuit.units[node]))}", limits.UNITS_HELP
    )


def _sizes(circuit: Circuit) -> NDArray[np.float64]:
    """Number of entries of each weight, as floats, which do not wrap around."""
    return circuit.weights.rows.astype(np.float64) * circuit.weights.columns


def _too_many_weights(circuit: Circuit) -> Int:
    nodes = np.flatnonzero(circuit.weight >= 0)
    culprits: Int = nodes[_sizes(circuit)[circuit.weight[nodes]] > limits.MOST_ENTRIES]
    return culprits


def _describe_too_many_weights(circuit: Circuit, node: int) -> Fault:
    weight, table = int(circuit.weight[node]), circuit.weights
    told = limits.large(int(table.rows[weight]), int(table.columns[weight]))
    return Fault(f"{title(circuit, node)} {told}", limits.ENTRIES_HELP)


def _too_many_in_all(circuit: Circuit) -> Int:
    sizes = _sizes(circuit)
    most = limits.MOST_ENTRIES
    return NO_NODE[: int(float(sizes.sum()) > most >= float(sizes.max(initial=0.0)))]


def _describe_too_many_in_all(circuit: Circuit, _node: int) -> Fault:
    total = int(_sizes(circuit).sum())
    return Fault(
        f"the circuit needs {limits.number(total)} weights; the most is {limits.MOST_ENTRIES:,}",
        limits.ENTRIES_HELP,
    )


COLUMN_RULES = (
    Rule("PC110", _no_root, _describe_no_root),
    Rule("PC110", _unknown_kind, _describe_unknown_kind),
)
"""Checked first: messages name kinds and the root."""
REFERENCE_RULES = (
    Rule("PC110", _bad_input, _describe_bad_input),
    Rule("PC110", _no_units, _describe_no_units),
    Rule("PC110", _bad_weight, _describe_bad_weight),
)
"""Checked second: what nodes refer to."""
COUNT_RULES = (
    Rule("PC128", _too_wide, _describe_too_wide),
    Rule("PC128", _too_many_weights, _describe_too_many_weights),
    Rule("PC128", _too_many_in_all, _describe_too_many_in_all),
)
"""Checked third: counts that later rules multiply."""
