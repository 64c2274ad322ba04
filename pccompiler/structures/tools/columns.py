"""Columns of data for structure learning: their variables, and their values as codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import DataError, OptionError
from pccompiler.frames import Schema
from pccompiler.ir import Variable, binary, categorical, real
from pccompiler.ir.arrays import Int
from pccompiler.structures.tools.common import as_variables
from pccompiler.tables import as_numbers, as_records, frame_labels, is_frame
from pccompiler.tables import as_table as table_by_name

Table = NDArray[np.generic]

ROWS = 4096
"""Rows that are checked together, to bound memory."""
MOST_STATES = 4096
"""The most states of a variable that is inferred to be categorical."""


def read_columns(
    data: object, variables: Sequence[Variable] | None
) -> tuple[Table, tuple[Variable, ...]]:
    """Data as a table of numbers, and the variables of its columns.

    Args:
        data: Anything that `pccompiler.tables.as_table` takes.
        variables: One for each column; ``None``: inferred by `variables_of`, with the column names
            of a data frame.

    Raises:
        DataError: If the data are not a table of numbers, have no rows, or do not fit the names.
        OptionError: If ``variables`` has something that is not a variable.
    """
    if variables is not None:
        chosen = as_variables(variables)
        schema = Schema.of(chosen)
        if schema is not None and is_frame(data):  # labels become states
            return as_table(schema.encode(data)), chosen
        return _rows(data, [v.name for v in chosen]), chosen
    if not is_frame(data):
        table = as_table(data)
        return table, variables_of(table)
    names = [label if isinstance(label, str) else f"x{label}" for label in frame_labels(data)]
    table = _rows(data, names)
    return table, variables_of(table, names)


def _rows(data: object, names: Sequence[str]) -> Table:
    """Match named columns by name and others by position (`check_columns` counts them)."""
    by_name = is_frame(data) or as_records(data)
    return as_table(table_by_name(data, names) if by_name else data)


def as_table(data: object) -> Table:
    """``data`` as a table of numbers, rows by variables.

    Raises:
        DataError: If it is not a table or has no rows.
    """
    table: Table = as_numbers(data)
    if table.ndim != 2 or not table.size:
        raise _no_table(f"shape {table.shape} and type {table.dtype}")
    return table


def _no_table(what: str) -> DataError:
    return DataError.of(
        "PC343",
        f"data of {what} are not a table of numbers",
        help="give an array with at least one row and a column per variable; NaN where missing",
    )


def missing(column: Table) -> NDArray[np.bool_]:
    """Where a column has NaN."""
    if column.dtype.kind != "f":
        return np.zeros(len(column), np.bool_)
    return np.asarray(np.isnan(column.astype(np.float64)))


def variables_of(data: object, names: Sequence[str] | None = None) -> tuple[Variable, ...]:
    """Variables for the columns of ``data``: discrete if all values are non-negative integers.

    They are called ``x0``, ``x1`` and so on, unless ``names`` are given.

    Raises:
        DataError: If data are not a table, or an integer is too large for a state.
    """
    table = as_table(data)
    chosen = [f"x{i}" for i in range(table.shape[1])] if names is None else names
    return tuple(_variable(i, name, table[:, i]) for i, name in enumerate(chosen))


def _variable(index: int, name: str, column: Table) -> Variable:
    seen = column[~missing(column)].astype(np.float64)
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
    """Refuse data with the wrong number of columns, or values that a variable cannot have.

    Raises:
        OptionError: If there are more or fewer variables than columns.
        DataError: If a value is not a state of its variable.
    """
    if table.shape[1] != len(variables):
        raise OptionError.of(
            "PC347",
            f"{len(variables)} variables are given for data of {table.shape[1]} columns",
            help="give one variable for each column",
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
    """Each value as an integer code, -1 where missing, and the number of codes of each variable.

    Discrete variables of more than ``bins`` states are put into bins of about equally many
    neighbouring states; real variables and counts into bins of about equally many rows.

    Returns:
        Codes, shape (rows, variables), and numbers of codes, shape (variables,).
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
