"""Columns of data as the structures learned from data see them: variables, and codes of values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Variable, binary, categorical, real
from pccompiler.ir.arrays import Int

Table = NDArray[np.generic]

ROWS = 4096
"""Rows that are looked at together, which bounds memory."""
MOST_STATES = 4096
"""States that are taken for a categorical variable's without being told so."""


def as_table(data: ArrayLike) -> Table:
    """``data`` as a table of numbers, rows by variables.

    Raises:
        DataError: If it is none, or has no rows.
    """
    try:
        table: Table = np.asarray(data)
    except ValueError as error:  # rows of several lengths
        raise _no_table("rows of several lengths") from error
    if table.ndim != 2 or not table.size or table.dtype.kind not in "biuf":
        raise _no_table(f"shape {table.shape} and type {table.dtype}")
    return table


def _no_table(what: str) -> DataError:
    return DataError.of(
        "PC343",
        f"data of {what} are no table of numbers",
        help="give an array of at least one row, one column a variable; NaN where missing",
    )


def missing(column: Table) -> NDArray[np.bool_]:
    """Where a column has NaN."""
    if column.dtype.kind != "f":
        return np.zeros(len(column), np.bool_)
    return np.asarray(np.isnan(column.astype(np.float64)))


def variables_of(data: ArrayLike) -> tuple[Variable, ...]:
    """Variables for the columns of ``data``: discrete where all values are whole and not negative.

    Raises:
        DataError: If data are no table, or a whole number is too large for a state.
    """
    table = as_table(data)
    return tuple(_variable(i, table[:, i]) for i in range(table.shape[1]))


def _variable(index: int, column: Table) -> Variable:
    name, seen = f"x{index}", column[~missing(column)].astype(np.float64)
    if not _whole(seen):
        return real(name)
    largest = int(seen.max(initial=0))
    if largest >= MOST_STATES:
        raise DataError.of(
            "PC343",
            f"column {index} has values up to {largest:,}, too large for states",
            help="pass variables, with count() or real() for this column",
        )
    return binary(name) if largest < 2 else categorical(name, largest + 1)


def _whole(values: NDArray[np.float64]) -> bool:
    return bool(((values >= 0) & (np.floor(values) == values) & np.isfinite(values)).all())


def check_columns(table: Table, variables: Sequence[Variable]) -> None:
    """Refuse data with another number of columns, or values that a variable cannot have.

    Raises:
        OptionError: If there are more or fewer variables than columns.
        DataError: If a value is no state of its variable.
    """
    if table.shape[1] != len(variables):
        raise OptionError.of(
            "PC347",
            f"{len(variables)} variables are given for data of {table.shape[1]} columns",
            help="give one for each column",
        )
    states = np.array([v.cardinality if v.discrete else np.inf for v in variables])
    whole = np.array([v.domain != "real" for v in variables])
    for start in range(0, len(table), ROWS):
        block = table[start : start + ROWS].astype(np.float64)
        bad = whole & ((block < 0) | (np.floor(block) != block) | (block >= states))
        bad = (bad & ~np.isnan(block)) | np.isinf(block)
        if bad.any():
            row, index = np.argwhere(bad)[0].tolist()
            variable = variables[index]
            raise DataError.of(
                "PC343",
                f"row {start + row} has the value {block[row, index]:g} in column {index}, but "
                f"{variable.name!r} is {variable}",
                help="code states as 0, 1, ...; write missing values as NaN in a float array",
            )


def coded(table: Table, variables: Sequence[Variable], bins: int | None) -> tuple[Int, Int]:
    """Each value as a whole number, -1 where missing, and how many each variable has.

    Discrete variables of more than ``bins`` states are put into bins of as many neighbouring
    states; real variables and counts into bins of about as many rows.

    Returns:
        Codes, shape (rows, variables), and their numbers, shape (variables,).
    """
    codes = np.empty(table.shape, np.int64)
    sizes = np.empty(len(variables), np.int64)
    for index, variable in enumerate(variables):
        codes[:, index], sizes[index] = _codes(table[:, index], variable, bins)
    return codes, sizes


def _codes(column: Table, variable: Variable, bins: int | None) -> tuple[Int, int]:
    gone = missing(column)
    seen = column[~gone].astype(np.float64)
    codes = np.full(len(column), -1)
    if variable.discrete:
        states = variable.cardinality
        size = states if bins is None else min(bins, states)
        codes[~gone] = seen.astype(np.int64) * size // states
        return codes, size
    edges = np.quantile(seen, np.linspace(0, 1, (bins or 8) + 1)[1:-1]) if len(seen) else seen
    edges = np.unique(edges)
    codes[~gone] = np.searchsorted(edges, seen, side="right")
    return codes, len(edges) + 1
