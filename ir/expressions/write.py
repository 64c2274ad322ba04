"""Convert a formula to a circuit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pccompiler.errors import OptionError
from pccompiler.ir.build.node_list import Entry, Ledger
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.expressions.formula import Declared, Formula
from pccompiler.ir.expressions.messages import fail


def write(root: Formula, declared: Sequence[Declared] | None) -> Circuit:
    """The circuit of ``root``: nodes numbered operands first, each once."""
    nodes = _below(root)
    used = {node.variable for node in nodes if node.variable is not None}
    ordered = sorted(used, key=lambda v: v.serial) if declared is None else list(declared)
    _check_variables(ordered, used)
    place = {variable: number for number, variable in enumerate(ordered)}
    ledger = Ledger([variable.variable for variable in ordered])
    ids: dict[int, int] = {}
    names: set[str] = set()
    for node in nodes:
        if node.name is not None and node.name in names:
            raise OptionError.of(
                "PC303",
                f"node name {node.name!r} is used twice",
                location=node.location,
                help="give each node its own name, or none",
            )
        names |= {node.name} if node.name is not None else set()
        ids[id(node)] = ledger.add(
            Entry(
                kind=node.kind,
                units=node.units,
                operands=[ids[id(operand)] for operand in node.operands],
                family=node.family,
                variable=-1 if node.variable is None else place[node.variable],
                values=node.values,
                share=node.weight,
                name=node.name,
                location=node.location,
            )
        )
    return ledger.circuit(ids[id(root)])


def _below(root: Formula) -> list[Formula]:
    """All nodes, operands first, without recursion."""
    order: list[Formula] = []
    seen: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((operand, False) for operand in reversed(node.operands))
    return order


def _check_variables(ordered: Sequence[Declared], used: set[Declared]) -> None:
    for name, times in Counter(str(variable) for variable in ordered).items():
        if times > 1:
            fail(f"variable {name!r} is declared twice", "give each variable its own name", "PC303")
    for variable in sorted(used - set(ordered), key=lambda v: v.serial):
        fail(
            f"variable {variable} is used, but is not one of the given columns",
            "add it, or omit 'variables'",
            "PC395",
        )
