"""The check pass: every rule that backends rely on, all findings at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from pccompiler.errors import CircuitError, Diagnostic
from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir.arrays import Int, segment_sum
from pccompiler.ir.circuit import Float, family_columns
from pccompiler.ir.kinds import PRODUCTS, SUMS
from pccompiler.ir.scopes import members
from pccompiler.ir.topology import reachable

MOST = 20
"""Findings of one rule that are written out; the rest is counted."""


def findings(circuit: Circuit) -> tuple[Diagnostic, ...]:
    """Everything that is wrong with ``circuit``; empty if it is well-formed.

    Source:
        Choi, Vergari and Van den Broeck (2020), "Probabilistic Circuits", for smoothness and
        decomposability.
    """
    found: list[Diagnostic] = []
    for rule in _RULES:
        found += _capped(rule(circuit))
    return tuple(found)


def verify(circuit: Circuit) -> None:
    """Raise all findings at once.

    Raises:
        CircuitError: If there are any.
    """
    found = findings(circuit)
    if found:
        raise CircuitError(found)


def _capped(found: Iterator[Diagnostic]) -> list[Diagnostic]:
    shown = list(islice(found, MOST))
    rest = sum(1 for _ in found)
    if rest:
        last = shown[-1]
        shown[-1] = Diagnostic(
            code=last.code,
            message=last.message,
            location=last.location,
            notes=(*last.notes, f"{rest:,} more findings of this rule are not shown"),
            help=last.help,
        )
    return shown


def _arity(circuit: Circuit) -> Iterator[Diagnostic]:
    """PC103: operands are there, and of equal width where units are paired."""
    empty = (circuit.kind != Kind.INPUT) & (circuit.fan_in == 0)
    for node in np.flatnonzero(empty).tolist():
        yield Diagnostic(
            code="PC103",
            message=f"{_kind(circuit, node)} {circuit.label(node)} has no operands",
            location=circuit.where(node),
            help="give it at least one operand, or remove it",
        )
    paired = (circuit.kind == Kind.PRODUCT) | (circuit.kind == Kind.MIXTURE)
    owner, below = _edges(circuit, np.flatnonzero(paired))
    for node in np.unique(owner[circuit.units[below] != circuit.units[owner]]).tolist():
        operands = circuit.operands_of(node).tolist()
        yield Diagnostic(
            code="PC103",
            message=f"{_kind(circuit, node)} {circuit.label(node)} pairs units, but its operands "
            "have different widths",
            location=circuit.where(node),
            notes=tuple(
                f"{circuit.label(j)} has {circuit.units[j]} units{_at(circuit, j)}"
                for j in operands[:8]
            ),
            help="give all operands the same number of units, or use 'kronecker' or a dense 'sum'",
        )


def _smooth(circuit: Circuit) -> Iterator[Diagnostic]:
    """PC101: all operands of a sum have the same scope."""
    scopes = circuit.scopes
    owner, below = _edges(circuit, np.flatnonzero(np.isin(circuit.kind, SUMS)))
    for node in np.unique(owner[scopes.index[below] != scopes.index[owner]]).tolist():
        whole = scopes.table[scopes.index[node]]
        lacking: list[str] = []
        for child in dict.fromkeys(circuit.operands_of(node).tolist()):
            missing = members(whole & ~scopes.table[scopes.index[child]])
            if len(missing):
                lacking.append(
                    f"child {circuit.label(child)} lacks {_names(circuit, missing)}"
                    f"{_at(circuit, child)}"
                )
        first, *notes = lacking
        yield Diagnostic(
            code="PC101",
            message=f"{_kind(circuit, node)} {circuit.label(node)} is not smooth: {first}",
            location=circuit.where(node),
            notes=tuple(notes[:8]),
            help="multiply the child by an input over the missing variables",
        )


def _decomposable(circuit: Circuit) -> Iterator[Diagnostic]:
    """PC102: operands of a product have disjoint scopes."""
    sizes = circuit.scopes.sizes()
    nodes = np.flatnonzero(np.isin(circuit.kind, PRODUCTS))
    pieces = segment_sum(sizes[circuit.operands], circuit.pointer)
    for node in nodes[pieces[nodes] != sizes[nodes]].tolist():
        operands = circuit.operands_of(node).tolist()
        scopes = [circuit.scopes.variables(j) for j in operands]
        variables, uses = np.unique(np.concatenate(scopes), return_counts=True)
        shared = variables[uses > 1]
        first = circuit.variables[int(shared[0])]
        clash = [j for j, scope in zip(operands, scopes, strict=True) if shared[0] in scope]
        more = f" (and {len(shared) - 1} more)" if len(shared) > 1 else ""
        yield Diagnostic(
            code="PC102",
            message=f"{_kind(circuit, node)} {circuit.label(node)} is not decomposable: "
            f"{len(clash)} children share variable {first.name!r}{more}",
            location=circuit.where(node),
            notes=tuple(
                f"{circuit.label(j)} has scope {_names(circuit, circuit.scopes.variables(j))}"
                f"{_at(circuit, j)}"
                for j in clash[:8]
            ),
            help="give the children disjoint scopes",
        )


def _root(circuit: Circuit) -> Iterator[Diagnostic]:
    """PC104, PC109: the root is one unit, over all variables."""
    root = circuit.root
    if circuit.units[root] != 1:
        yield Diagnostic(
            code="PC104",
            message=f"the root {circuit.label(root)} has {circuit.units[root]} units",
            location=circuit.where(root),
            help="make the root a sum of 1 unit over it",
        )
    absent = np.setdiff1d(np.arange(len(circuit.variables)), circuit.scopes.variables(root))
    if len(absent):
        yield Diagnostic(
            code="PC109",
            message=f"the root {circuit.label(root)} does not depend on {_names(circuit, absent)}",
            location=circuit.where(root),
            help="give each variable an input under the root, or do not declare it",
        )


def _dead(circuit: Circuit) -> Iterator[Diagnostic]:
    """PC105: the root depends on every node."""
    for node in np.flatnonzero(~reachable(circuit)).tolist():
        yield Diagnostic(
            code="PC105",
            message=f"{_kind(circuit, node)} {circuit.label(node)} is dead: the root "
            f"{circuit.label(circuit.root)} does not depend on it",
            location=circuit.where(node),
            help="use it under the root, or run the 'prune' pass",
        )


def _leaves(circuit: Circuit) -> Iterator[Diagnostic]:
    """PC107: a leaf family fits its variable."""
    discrete = np.array([v.discrete for v in circuit.variables], np.bool_)
    states = np.array([v.cardinality for v in circuit.variables], np.int64)
    inputs = np.flatnonzero(circuit.kind == Kind.INPUT)
    family, variable = circuit.family[inputs], circuit.variable[inputs]
    wrong = (family == Family.GAUSSIAN) == discrete[variable]
    wrong |= (family == Family.BERNOULLI) & (states[variable] != 2)
    wrong |= (family == Family.INDICATOR) & (circuit.units[inputs] != states[variable])
    for node in inputs[wrong].tolist():
        over = circuit.variables[int(circuit.variable[node])]
        keyword = Family(int(circuit.family[node])).keyword
        kind = f"{over.domain} with {over.cardinality} states" if over.discrete else over.domain
        yield Diagnostic(
            code="PC107",
            message=f"{keyword} input {circuit.label(node)} of {circuit.units[node]} units "
            f"does not fit variable {over.name!r}, which is {kind}",
            location=circuit.where(node),
            help="indicators have one unit a state, bernoulli needs 2 states, "
            "gaussian a real variable",
        )


def _weights(circuit: Circuit) -> Iterator[Diagnostic]:
    """PC106: a weight has the shape that each of its users needs, and one kind of user."""
    nodes = np.flatnonzero(circuit.weight >= 0)
    weight = circuit.weight[nodes]
    columns = _columns(circuit)[nodes]
    table = circuit.weights
    wrong = (table.rows[weight] != circuit.units[nodes]) | (table.columns[weight] != columns)
    for node in nodes[wrong].tolist():
        own = int(circuit.weight[node])
        yield Diagnostic(
            code="PC106",
            message=f"weight {table.label(own)} has shape {table.rows[own]} x "
            f"{table.columns[own]}, but {_kind(circuit, node)} {circuit.label(node)} needs "
            f"{circuit.units[node]} x {_columns(circuit)[node]}",
            location=circuit.where(node),
            help="share weights only between nodes of one shape",
        )
    owner = np.where(circuit.kind == Kind.INPUT, 10 + circuit.family, circuit.kind)[nodes]
    first = np.full(len(table), -1)
    first[weight[::-1]] = owner[::-1]
    for node in nodes[owner != first[weight]].tolist():
        yield Diagnostic(
            code="PC106",
            message=f"weight {table.label(int(circuit.weight[node]))} of {_kind(circuit, node)} "
            f"{circuit.label(node)} also belongs to a node of another kind",
            location=circuit.where(node),
            help="share weights only between nodes of one kind and family",
        )


def _values(circuit: Circuit) -> Iterator[Diagnostic]:
    """PC106: given values are what they stand for."""
    owner = dict(
        zip(circuit.weight[::-1].tolist(), range(circuit.num_nodes - 1, -1, -1), strict=True)
    )
    for weight, values in circuit.weights.values.items():
        if weight not in owner:
            continue
        node = owner[weight]
        problem = _problem(circuit, node, values)
        if problem:
            yield Diagnostic(
                code="PC106",
                message=f"weight {circuit.weights.label(weight)} of {_kind(circuit, node)} "
                f"{circuit.label(node)} {problem[0]}",
                location=circuit.where(node),
                help=problem[1],
            )


def _problem(circuit: Circuit, node: int, values: Float) -> tuple[str, str] | None:
    """What is wrong with given values, and a way out."""
    if not np.isfinite(values).all():
        return "has values that are not finite", "give finite numbers"
    if circuit.family[node] == Family.GAUSSIAN:
        if (values[:, 1] <= 0).any():
            return "has a standard deviation that is not positive", "give positive deviations"
        return None
    if (values < 0).any() or (values > 1).any():
        return "has values outside [0, 1]", "give probabilities"
    if circuit.family[node] == Family.BERNOULLI:
        return None
    totals = values.sum(axis=1)
    worst = int(np.argmax(np.abs(totals - 1.0)))
    if abs(totals[worst] - 1.0) > 1e-6:
        return f"has row {worst} that sums to {totals[worst]:.6g}", "divide each row by its sum"
    return None


_RULES: tuple[Callable[[Circuit], Iterator[Diagnostic]], ...] = (
    _arity,
    _smooth,
    _decomposable,
    _root,
    _dead,
    _leaves,
    _weights,
    _values,
)


def _columns(circuit: Circuit) -> Int:
    """Columns that each node's weight must have."""
    fan_in = segment_sum(circuit.units[circuit.operands], circuit.pointer)
    columns = np.where(circuit.kind == Kind.MIXTURE, circuit.fan_in, fan_in)
    inputs = np.flatnonzero((circuit.kind == Kind.INPUT) & (circuit.family > Family.INDICATOR))
    pairs = np.stack([circuit.family, circuit.variable], axis=1)[inputs]
    if len(inputs):
        distinct, inverse = np.unique(pairs, axis=0, return_inverse=True)
        states = [circuit.variables[v].cardinality for v in distinct[:, 1].tolist()]
        needed = [
            family_columns(Family(f), s)
            for f, s in zip(distinct[:, 0].tolist(), states, strict=True)
        ]
        columns[inputs] = np.array(needed)[inverse.ravel()]
    return columns


def _edges(circuit: Circuit, nodes: Int) -> tuple[Int, Int]:
    """Owner and operand of every edge of ``nodes``."""
    return np.repeat(nodes, circuit.fan_in[nodes]), circuit.operands[circuit.edges_of(nodes)]


def _kind(circuit: Circuit, node: int) -> str:
    return Kind(int(circuit.kind[node])).keyword


def _at(circuit: Circuit, node: int) -> str:
    where = circuit.where(node)
    return f", {where}" if where else ""


def _names(circuit: Circuit, variables: Int) -> str:
    names = [circuit.variables[v].name for v in variables[:8].tolist()]
    more = f", and {len(variables) - 8} more" if len(variables) > 8 else ""
    return "{" + ", ".join(names) + more + "}"
