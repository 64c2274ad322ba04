"""Checks of the operands and weights of formulas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from pccompiler.ir.arrays import Float
from pccompiler.ir.build.declarations import check_name, check_units
from pccompiler.ir.expressions.formula import Formula
from pccompiler.ir.expressions.messages import fail, listing


def equal_widths(nodes: Sequence[Formula], sign: str) -> None:
    """Refuse operands of different widths."""
    first = nodes[0]
    for node in nodes:
        if node.units != first.units:
            fail(
                f"{first} {sign} {node}: the first has {_units(first.units)}, "
                f"the second {_units(node.units)}",
                "give both the same width, or use kron()"
                if sign == "*"
                else "use dense() for widths that differ",
            )


def dense_table(
    below: Sequence[Formula], units: int | None, weights: ArrayLike | None
) -> tuple[int, Float | None]:
    """Width and weights of a dense sum."""
    fan_in = sum(node.units for node in below)
    table = None if weights is None else np.atleast_2d(numbers(weights))
    width = units if units is not None else 1 if table is None else len(table)
    check_units(width)
    if table is not None and table.shape != (width, fan_in):
        fail(
            f"weights of shape {shape(table)} do not fit a sum of {_units(width)} over "
            f"{listing(below)}, which have {_units(fan_in)} together",
            "give a row for each unit of the sum, and a column for each unit of its operands",
        )
    return width, table


def mix_table(below: Sequence[Formula], weights: ArrayLike | None) -> tuple[int, Float | None]:
    """Width and weights of a mixture."""
    units = below[0].units
    if weights is None:
        return units, None
    table = numbers(weights)
    if table.shape not in ((len(below),), (units, len(below))):
        fail(
            f"weights of shape {shape(table)} do not fit a mixture of {listing(below)}, "
            f"which have {_units(units)} each",
            "give one weight per operand, or such a row for each unit",
        )
    return units, np.broadcast_to(table, (units, len(below)))


def unit_weights(value: object, node: Formula) -> Float:
    """One weight, or one for each unit of ``node``."""
    weights = numbers(value)
    if weights.shape not in ((), (node.units,)):
        fail(
            f"weights of shape {shape(weights)} do not fit {node}, which has {_units(node.units)}",
            "give one number, or one per unit; matrices are multiplied with @",
        )
    return weights


def numbers(value: object) -> Float:
    """``value`` as an array of floats."""
    try:
        return np.asarray(value, np.float64)
    except (TypeError, ValueError):
        fail(f"{value!r} is not a number", "multiply by numbers, or by other expressions")


def weight_name(weight: str | None) -> str | None:
    """``weight``, if it is a name."""
    if weight is not None:
        check_name(weight, "weight")
    return weight


def shape(table: Float) -> str:
    """``2 x 3``, or ``3``."""
    return " x ".join(map(str, table.shape))


def _units(number: int) -> str:
    return "1 unit" if number == 1 else f"{number} units"
