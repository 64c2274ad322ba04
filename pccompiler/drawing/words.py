"""Labels of nodes in pictures: leaves, widths, scopes."""

from __future__ import annotations

from collections.abc import Sequence

from pccompiler.ir import Circuit, Family, Kind

SHOWN = 4
"""The most numbers of a distribution, and variables of a scope, that are written out."""


def leaf_lines(circuit: Circuit, node: int) -> tuple[str, ...]:
    """The label of an input in one or two lines: the variable and the distribution."""
    variable = circuit.variables[int(circuit.variable[node])]
    family, units = circuit.family_of(node), int(circuit.units[node])
    if family == Family.INDICATOR:
        return variable.name, f"{units} states"
    table = circuit.weights.values.get(int(circuit.weight[node]))
    if table is None or units > 1:
        return variable.name, family.keyword + (f" x {units}" if units > 1 else "")
    state = family.certain(table, variable)
    if state is not None:
        return (f"{variable.name} = {state}",)
    numbers = [f"{value:.3g}" for value in table[0].tolist()]
    shown = " ".join(numbers[:SHOWN]) + " ..." * (len(numbers) > SHOWN)
    return variable.name, f"{family.keyword} {shown}"


def node_lines(circuit: Circuit, node: int) -> tuple[str, ...]:
    """The label of any node: its sign, name and width, or those of `leaf_lines`."""
    kind, units = Kind(int(circuit.kind[node])), int(circuit.units[node])
    if kind == Kind.INPUT:
        return leaf_lines(circuit, node)
    name = circuit.names.get(node, "")
    sign = {Kind.SUM: "+", Kind.MIXTURE: "+", Kind.PRODUCT: "\u00d7"}.get(kind, "\u2297")
    return (sign, *[name] * bool(name), *[f"{units:,} units"] * (units > 1))


def scope_words(circuit: Circuit, variables: Sequence[int]) -> str:
    """The variables of a scope; if there are many, the first ones and their number."""
    names = [circuit.variables[v].name for v in list(variables)[:SHOWN]]
    if len(variables) <= SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[:2])}, ... ({len(variables)} variables)"


def node_title(circuit: Circuit, node: int) -> str:
    """The tooltip of a node."""
    kind, units = Kind(int(circuit.kind[node])), int(circuit.units[node])
    words = [f"{circuit.label(node)}: {kind.keyword}"]
    if kind == Kind.INPUT:
        words[0] += " " + " ".join(leaf_lines(circuit, node))
    words[0] += f", {units:,} unit{'s' * (units > 1)}"
    words.append(f"over {scope_words(circuit, circuit.scopes.variables(node).tolist())}")
    if circuit.weight[node] >= 0:
        words.append(f"weight {circuit.weights.label(int(circuit.weight[node]))}")
    where = circuit.where(node)
    return "\n".join([*words, where] if where else words)


def counted(number: int, what: str) -> str:
    """``1 sum``, ``1,200 sums``."""
    plural = {"mixture": "mixtures"}.get(what, f"{what}s")
    return f"{number:,} {what if number == 1 else plural}"


def printable(text: str) -> str:
    """``text`` on one line, with a mark in the place of each character that cannot be printed."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
