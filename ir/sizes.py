"""Limits on the width of nodes and the size of weights, and products that do not overflow."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import CircuitError
from pccompiler.ir.arrays import Int

MOST_UNITS = 2**31 - 1
"""The most units of a node; the largest number in the text form."""
MOST_ENTRIES = 2**40
"""The most entries of all weights together: 4 TiB in float32. Sums below it do not overflow."""
_CAP = 2**62
CODE = "PC128"
UNITS_HELP = (
    "multiply fewer or narrower operands at once, with a narrower sum in between, or use the "
    "elementwise 'product'"
)
MOST_MADE = 2**29
"""The most entries of a table that a rewrite makes: 4 GiB."""
ENTRIES_HELP = "give the sum fewer units, or narrower or fewer operands"


def products(factors: Int, starts: Int) -> Int:
    """The product of each run ``factors[starts[i]:starts[i + 1]]``, at most 2^62.

    Runs have at least one factor each, and no factor is negative.
    """
    if not len(starts):
        return np.zeros(0, np.int64)
    with np.errstate(over="ignore", invalid="ignore"):  # zero times infinity: larger than all
        rough: NDArray[np.float64] = np.multiply.reduceat(factors.astype(np.float64), starts)
    exact = np.multiply.reduceat(factors, starts)
    return np.where(rough < _CAP / 2, exact, _CAP)


def row_products(table: Int) -> Int:
    """The product of each row of ``table``, at most 2^62; 1 for empty rows."""
    rows, arity = table.shape
    if arity == 0:
        return np.ones(rows, np.int64)
    return products(table.ravel(), np.arange(rows) * arity)


def check_width(units: int, factors: Sequence[int], name: str, location: str | None) -> None:
    """Refuse a product of more than `MOST_UNITS`, made of operands of the widths ``factors``.

    Raises:
        CircuitError: If it has more.
    """
    if units > MOST_UNITS:
        raise CircuitError.of(
            CODE, f"{name} {wide(units, factors)}", location=location, help=UNITS_HELP
        )


def wide(units: int, factors: Sequence[int] | None = None) -> str:
    """The message for a node with too many units."""
    made = f" ({times(factors)})" if factors else ""
    return f"has {number(units)} units{made}; the most is {MOST_UNITS:,}"


def large(rows: int, columns: int) -> str:
    """The message for a weight with too many entries."""
    return (
        f"needs {rows:,} x {columns:,} = {number(rows * columns)} weights; the most is "
        f"{MOST_ENTRIES:,} for all sums together"
    )


def check_entries(rows: int, columns: int, name: str, location: str | None) -> None:
    """Refuse a weight of more than `MOST_ENTRIES` entries.

    Raises:
        CircuitError: If it has more.
    """
    if rows * columns > MOST_ENTRIES:
        raise CircuitError.of(
            CODE, f"{name} {large(rows, columns)}", location=location, help=ENTRIES_HELP
        )


def number(count: int) -> str:
    """A count in digits, or its magnitude."""
    return f"{count:,}" if count < 10**24 else f"about 10^{int(log10(count))}"


def times(factors: Sequence[int]) -> str:
    """``2 x 3 x 4``, cut short if there are many."""
    return " x ".join(f"{factor:,}" for factor in factors[:8]) + (" x ..." if factors[8:] else "")
