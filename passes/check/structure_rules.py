"""The rules about nodes and scopes: PC101 to PC105, PC107 and PC109."""

from __future__ import annotations

import numpy as np

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir.arrays import Int, segment_sum
from pccompiler.ir.kinds import PRODUCTS, SUMS, is_product
from pccompiler.ir.scopes import members
from pccompiler.ir.topology import reachable
from pccompiler.passes.check.rule import Fault, Rule, at, edges, names, number, scope, some, title


def _without_operands(circuit: Circuit) -> Int:
    return np.flatnonzero((circuit.kind != Kind.INPUT) & (circuit.fan_in == 0))


def _describe_without_operands(circuit: Circuit, node: int) -> Fault:
    return Fault(
        f"{title(circuit, node)} has no operands", "give it at least one operand, or remove it"
    )


def _unpaired(circuit: Circuit) -> Int:
    owner, below = edges(circuit, (Kind.PRODUCT, Kind.MIXTURE))
    return np.unique(owner[circuit.units[below] != circuit.units[owner]])


def _describe_unpaired(circuit: Circuit, node: int) -> Fault:
    units = int(circuit.units[node])
    other = [j for j in circuit.operands_of(node).tolist() if circuit.units[j] != units]
    have = "has" if len(other) == 1 else "have"
    return Fault(
        f"{title(circuit, node)} pairs {number(units, 'unit')} of each operand, but "
        f"{len(other):,} of its {number(int(circuit.fan_in[node]), 'operand')} {have} another "
        "width",
        "give all operands the same number of units, or use 'kronecker' or a dense 'sum'",
        some(
            [
                f"{circuit.label(j)} has {number(int(circuit.units[j]), 'unit')}{at(circuit, j)}"
                for j in dict.fromkeys(other)
            ]
        ),
    )


def _misshapen(circuit: Circuit) -> Int:
    culprits = [np.zeros(0, np.int64)]
    for kind, product in PRODUCTS.items():
        nodes = np.flatnonzero((circuit.kind == kind) & (circuit.fan_in > 0))
        if kind != Kind.PRODUCT and len(nodes):  # elementwise ones are told operand by operand
            widths = circuit.units[circuit.operands[circuit.edges_of(nodes)]]
            starts = np.cumsum(circuit.fan_in[nodes]) - circuit.fan_in[nodes]
            culprits.append(nodes[product.widths(widths, starts) != circuit.units[nodes]])
    return np.sort(np.concatenate(culprits))


def _describe_misshapen(circuit: Circuit, node: int) -> Fault:
    product = PRODUCTS[int(circuit.kind[node])]
    widths = circuit.units[circuit.operands_of(node)].tolist()
    units = number(int(circuit.units[node]), "unit")
    return Fault(
        f"{title(circuit, node)} has {units}, but its operands make {product.made(widths)}",
        product.help,
    )


def _not_smooth(circuit: Circuit) -> Int:
    index = circuit.scopes.index
    owner, below = edges(circuit, SUMS)
    return np.unique(owner[index[below] != index[owner]])


def _describe_not_smooth(circuit: Circuit, node: int) -> Fault:
    table, index = circuit.scopes.table, circuit.scopes.index
    lacking = {
        child: members(table[index[node]] & ~table[index[child]])
        for child in circuit.operands_of(node).tolist()
        if index[child] != index[node]
    }
    first, *others = [
        f"child {circuit.label(child)} lacks {names(circuit, missing)}{at(circuit, child)}"
        for child, missing in lacking.items()
    ]
    (missing, *_) = lacking.values()
    way_out = f"the child by inputs over {names(circuit, missing)}"
    return Fault(
        f"{title(circuit, node)} is not smooth: {first}",
        "run the 'smooth' pass, or multiply "
        + ("each child by inputs over what it lacks" if others else way_out),
        some(others),
    )


def _not_decomposable(circuit: Circuit) -> Int:
    sizes = circuit.scopes.sizes()
    pieces = segment_sum(sizes[circuit.operands], circuit.pointer)
    return np.flatnonzero(is_product(circuit.kind) & (pieces != sizes))


def _describe_not_decomposable(circuit: Circuit, node: int) -> Fault:
    operands = circuit.operands_of(node).tolist()
    scopes = [circuit.scopes.variables(child) for child in operands]
    variables, uses = np.unique(np.concatenate(scopes), return_counts=True)
    shared = variables[uses > 1]
    clash = [j for j, own in zip(operands, scopes, strict=True) if np.isin(own, shared).any()]
    one = f"variable {circuit.variables[int(shared[0])].name!r}"
    what = one if len(shared) == 1 else f"variables {names(circuit, shared)}"
    notes = [f"{circuit.label(j)} has scope {scope(circuit, j)}{at(circuit, j)}" for j in clash]
    return Fault(
        f"{title(circuit, node)} is not decomposable: {len(clash):,} children share {what}",
        "give the children disjoint scopes",
        some(notes),
    )


def _wide_root(circuit: Circuit) -> Int:
    return np.array([circuit.root])[: int(circuit.units[circuit.root] != 1)]


def _describe_wide_root(circuit: Circuit, node: int) -> Fault:
    return Fault(
        f"the root {circuit.label(node)} has {number(int(circuit.units[node]), 'unit')}, not 1",
        "make the root a sum of 1 unit over it; if its units are classes, "
        "build(node, classes='label')",
    )


def _incomplete_root(circuit: Circuit) -> Int:
    whole = circuit.scopes.sizes()[circuit.root] == len(circuit.variables)
    return np.array([circuit.root])[: int(not whole)]


def _describe_incomplete_root(circuit: Circuit, node: int) -> Fault:
    absent = np.setdiff1d(np.arange(len(circuit.variables)), circuit.scopes.variables(node))
    return Fault(
        f"the root {circuit.label(node)} does not depend on {names(circuit, absent)}",
        "give each variable an input under the root, run the 'smooth' pass, or do not declare it",
    )


def _dead(circuit: Circuit) -> Int:
    return np.flatnonzero(~reachable(circuit))


def _describe_dead(circuit: Circuit, node: int) -> Fault:
    return Fault(
        f"{title(circuit, node)} is dead: the root {circuit.label(circuit.root)} "
        "does not depend on it",
        "use it under the root, or run the 'prune' pass",
    )


def _misfit(circuit: Circuit) -> Int:
    states = np.array([v.cardinality for v in circuit.variables], np.int64)
    inputs = np.flatnonzero(circuit.kind == Kind.INPUT)
    family, variable = circuit.family[inputs], circuit.variable[inputs]
    distinct, inverse = np.unique(np.stack([family, variable], axis=1), axis=0, return_inverse=True)
    fit = [Family(f).fits(circuit.variables[v]) for f, v in distinct.tolist()]
    wrong = ~np.array(fit, np.bool_)[inverse.ravel()]
    wrong |= (family == Family.INDICATOR) & (circuit.units[inputs] != states[variable])
    culprits: Int = inputs[wrong]
    return culprits


def _describe_misfit(circuit: Circuit, node: int) -> Fault:
    over = circuit.variables[int(circuit.variable[node])]
    family = circuit.family_of(node)
    return Fault(
        f"{family.keyword} input {circuit.label(node)} of "
        f"{number(int(circuit.units[node]), 'unit')} does not fit variable {over.name!r}, "
        f"which is {over}",
        family.misfit(over) or "give indicators one unit a state",
    )


STRUCTURE_RULES = (
    Rule("PC103", _without_operands, _describe_without_operands),
    Rule("PC103", _unpaired, _describe_unpaired),
    Rule("PC103", _misshapen, _describe_misshapen),
    Rule("PC101", _not_smooth, _describe_not_smooth),
    Rule("PC102", _not_decomposable, _describe_not_decomposable),
    Rule("PC104", _wide_root, _describe_wide_root),
    Rule("PC109", _incomplete_root, _describe_incomplete_root),
    Rule("PC105", _dead, _describe_dead),
    Rule("PC107", _misfit, _describe_misfit),
)
