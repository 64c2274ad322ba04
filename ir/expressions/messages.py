"""How formulas appear in error messages, and how errors are raised."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Float
from pccompiler.ir.expressions.formula import Formula
from pccompiler.ir.families import Family
from pccompiler.ir.kinds import Kind
from pccompiler.ir.locations import caller


def fail(message: str, help: str, code: str = "PC394") -> NoReturn:
    """Raise an error at the line of the user's program."""
    raise OptionError.of(code, message, location=caller(), help=help)


def whole(value: object) -> int | None:
    """``value`` as ``int`` if it is an integer of any kind."""
    try:
        return operator.index(value)  # type: ignore[arg-type]  # raises for non-integers
    except TypeError:
        return None


_SIGNS = {Kind.PRODUCT: " * ", Kind.SUM: " + ", Kind.MIXTURE: " + "}
_FUNCTIONS = {Kind.KRONECKER: "kron"}
"""Names of those that have no sign, where they are not the keyword."""


def show(node: Formula, depth: int, inner: bool = False) -> str:
    """The formula as text of bounded length."""
    if node.name is not None:
        return node.name
    if node.kind == Kind.INPUT:
        state = _state(node)
        if state is not None:
            return f"({node.variable} == {state})" if inner else f"{node.variable} == {state}"
        leaf = f"{node.variable}.{Family(node.family).keyword}"
        return f"{leaf}({node.units} units)" if node.units > 1 else f"{leaf}()"
    if depth == 0:
        return "(...)"
    parts = [show(operand, depth - 1, inner=True) for operand in node.operands[:4]]
    if node.pending and node.values is not None:
        parts = [f"{number(w)} * {p}" for w, p in zip(node.values.T, parts, strict=False)]
    parts += ["..."] * (len(node.operands) > 4)
    if node.kind not in _SIGNS:
        return f"{_FUNCTIONS.get(node.kind, node.kind.keyword)}({', '.join(parts)})"
    text = _SIGNS[node.kind].join(parts)
    if node.kind == Kind.SUM and not node.pending:
        return f"({text}).sum({node.units})"
    return f"({text})" if inner and len(node.operands) > 1 else text


def _state(node: Formula) -> int | None:
    """The state of a literal."""
    if node.values is None or node.variable is None:
        return None
    return Family(node.family).certain(node.values, node.variable.variable)


def number(weights: Float) -> str:
    """A single number if all weights are the same."""
    values = np.unique(weights)
    return f"{values[0]:g}" if len(values) == 1 else "[...]"


def listing(nodes: Sequence[Formula]) -> str:
    """The first few formulas."""
    shown = [str(node) for node in nodes[:3]]
    return ", ".join(shown + ["..."] * (len(nodes) > 3))
