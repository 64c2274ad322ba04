"""Converts users' rows to one table of numbers with a column for each variable.

All functions that take data or evidence read it here: arrays and nested lists by position; data
frames (pandas, polars, pyarrow) and dicts by name. No data frame library is imported. Missing
values are NaN; ``None``, pandas' ``NA`` and masked entries mean the same.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.errors import DataError
from pccompiler.options import as_float, shown
from pccompiler.tables.labels import Codes, States, cells, is_missing, state_of, states_of

Block: TypeAlias = NDArray[Any]  # real numbers of any type
Cell: TypeAlias = float | str | None  # a number, or a label of a schema
Record: TypeAlias = Mapping[str, Cell] | Mapping[int, Cell] | Mapping[str | int, Cell]
Given: TypeAlias = ArrayLike | Sequence[Sequence[float | None]] | Record | Sequence[Record]
"""Accepted forms of rows; also data frames, which have no common type."""

_SHOWN = 5


def as_table(x: object, names: Sequence[str], *, partial: bool = False, codes: Codes = ()) -> Block:
    """``x`` as a table of numbers, shape ``(rows, len(names))``, NaN where missing.

    Args:
        x: An array or nested list, one column per variable, in order; a data frame, whose columns
            may come in any order; or a dict (one row) or list of dicts, from names or numbers of
            columns to values, where omitted variables are missing.
        names: Names of the variables.
        partial: Whether a variable without a column in a data frame is missing in every row;
            otherwise it is an error.
        codes: The states of labels, for frames and dicts; by default these hold numbers.

    Returns:
        Booleans, integers or floats of at most 64 bits. No copy is made if ``x`` is such an
        array, so the result may be read-only and have negative strides.

    Raises:
        DataError: If ``x`` is not a table of real numbers, or does not fit the variables.
    """
    records = as_records(x)
    if records is not None:
        return _of_records(records, names, codes)
    if is_frame(x):
        return _of_frame(x, names, partial, codes)
    table = as_numbers(x)
    if table.ndim != 2 or table.shape[1] != len(names):
        raise wrong_shape(table.shape, names)
    return table


def as_records(x: object) -> Sequence[object] | None:
    """The rows of a list of dicts, or of a dict as one row; ``None`` if ``x`` is neither."""
    if isinstance(x, Mapping):
        return [x]
    if isinstance(x, list | tuple) and (not x or isinstance(x[0], Mapping)):
        return x
    return None


def is_frame(x: object) -> bool:
    """Whether ``x`` is a table whose columns have names."""
    named = hasattr(x, "to_numpy") and hasattr(x, "columns")
    return named or hasattr(x, "column_names")  # the latter for pyarrow


def frame_labels(frame: Any) -> list[object]:  # of any library
    """The column labels of a data frame, in order.

    Raises:
        DataError: If two columns have the same name.
    """
    labels = list(frame.column_names if hasattr(frame, "column_names") else frame.columns)
    seen: set[object] = set()
    for label in labels:
        if label in seen:
            raise DataError.of(
                "PC451", f"the data frame has two columns {label!r}", help="rename or drop one"
            )
        seen.add(label)
    return labels


def as_numbers(x: object, name: str | None = None) -> Block:
    """Any array-like object as an array of real numbers, of any shape.

    Args:
        x: Anything that `numpy.asarray` accepts, or a tensor.
        name: Name of the column in ``x``, for errors.

    Raises:
        DataError: If it is not an array of real numbers.
    """
    try:
        found = _array(x)
        kind = found.dtype.kind
        if kind in "biuf":
            return _filled(found if found.dtype.itemsize <= 8 else _rounded(found))
        if kind == "O" and found.ndim:
            return _of_objects(found, name)
    except (TypeError, ValueError, RuntimeError, OverflowError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0]
        if "inhomogeneous" in why:  # as NumPy's message says
            raise _no_numbers("have rows of different lengths") from error
        raise _no_numbers(f"cannot be read as a table: {why}") from error
    if found.ndim == 0:
        raise _no_numbers(f"are {shown(x)}, of type {type(x).__name__}, not a table")
    where = "" if name is None else f"column {name!r}: "
    what = "text" if kind in "SU" else str(found.dtype)
    raise _no_numbers(f"hold {what}, not numbers", where)


def column_of(label: object, names: Sequence[str]) -> int:
    """The index of the column with a name or a number.

    Raises:
        DataError: If there is none.
    """
    column = _place(label, {name: index for index, name in enumerate(names)})
    if column is None:
        raise DataError.of(
            "PC407",
            f"the circuit has no variable {label!r}",
            help=_near(label, names) or f"use one of: {few(names)}",
        )
    return column


def wrong_shape(shape: Iterable[int], names: Sequence[str]) -> DataError:
    """The error for data that do not fit the variables."""
    found = tuple(shape)
    way = f"give a table of shape (rows, {len(names)}), one column a variable, in order"
    return DataError.of(
        "PC400",
        f"the data have shape {found}, but the circuit has {len(names)} variables",
        notes=(f"variables: {few(names)}",),
        help=way + ("; a single row is written [row]" if len(found) == 1 else ""),
    )


def _near(label: object, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(label), names[:10_000], n=3)
    return "did you mean " + " or ".join(map(repr, near)) + "?" if near else ""


def few(names: Sequence[object]) -> str:
    """The first names in a list."""
    return ", ".join(map(str, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")


def _array(x: Any) -> Block:  # anything that converts to an array
    if hasattr(x, "detach"):  # a tensor on any device
        x = x.detach().cpu()
        return np.asarray(x if not x.is_floating_point() else x.double())
    return x if isinstance(x, np.ma.MaskedArray) else np.asarray(x)


def _filled(table: Block) -> Block:
    """Remove the mask: masked entries become NaN."""
    if not isinstance(table, np.ma.MaskedArray):
        return table
    return np.asarray(np.ma.filled(table.astype(np.float64), np.nan))


def _rounded(table: Block) -> Block:
    """Convert extended precision to float64; overflow becomes infinite."""
    with np.errstate(over="ignore"):
        return table.astype(np.float64)


def _of_objects(table: Block, name: str | None) -> Block:
    """Convert an array of Python objects, number by number."""
    if isinstance(table, np.ma.MaskedArray):
        mask, table = np.ma.getmaskarray(table), np.array(table.data)
        table[mask] = None
    values = [_number(value) for value in table.flat]
    if None in values:
        place = np.unravel_index(values.index(None), table.shape)
        row, *rest = (int(i) for i in place)
        column = f"column {name!r}" if name is not None else f"column {rest[0] if rest else 0}"
        raise _no_numbers(f"hold {shown(table[place])}, not a number", f"row {row}, {column}: ")
    return np.array(values, np.float64).reshape(table.shape)


def _number(value: object) -> float | None:
    """A number, NaN if it is missing, or ``None`` for anything else."""
    if is_missing(value):
        return np.nan
    return float(value) if isinstance(value, bool) else as_float(value)


def _no_numbers(what: str, where: str = "") -> DataError:
    return DataError.of(
        "PC452",
        f"{where}the data {what}",
        help="give a table of numbers, NaN or None where missing; for text and other labels build "
        "the circuit from pccompiler.Schema.infer(frame).variables",
    )


def _of_records(records: Sequence[object], names: Sequence[str], codes: Codes) -> Block:
    """Convert dicts from names to values, one per row."""
    table = np.full((len(records), len(names)), np.nan)
    columns = {name: index for index, name in enumerate(names)}
    for row, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise _no_numbers(f"hold {shown(record)} among dicts", f"row {row}: ")
        for label, value in record.items():
            column = _place(label, columns)
            column = column_of(label, names) if column is None else column
            states = codes[column] if codes else {}
            number = state_of(value, states, label, row) if states else _number(value)
            if number is None:
                raise _no_number_of(label, row, value)
            table[row, column] = number
    return table


def _no_number_of(label: object, row: int, value: object) -> DataError:
    return DataError.of(
        "PC452",
        f"row {row}: the value of {label!r} is {shown(value)}, not a number",
        help="give one number per name; for several rows give a list of dicts, or a data frame",
    )


def _of_frame(frame: Any, names: Sequence[str], partial: bool, codes: Codes) -> Block:
    """The columns of a data frame in the order of ``names``."""
    labels = frame_labels(frame)
    home = _columns(labels, names)
    absent = [name for index, name in enumerate(names) if index not in home]
    if absent and not partial:
        raise DataError.of(
            "PC450",
            f"the data frame has no column {absent[0]!r}",
            notes=(f"{len(absent)} of {len(names)} variables have no column: {few(absent)}",),
            help="add the column, filled with NaN if it is unknown; or use a query such as "
            "log_marginal, which treats absent columns as missing",
        )
    parts = {
        column: _column(cells(frame[label]), names[column], codes[column] if codes else {})
        for column, label in home.items()
    }
    rows = len(frame) if not parts else len(next(iter(parts.values())))
    table = np.full((rows, len(names)), np.nan)
    for column, values in parts.items():
        table[:, column] = values
    return table


def _columns(labels: Sequence[object], names: Sequence[str]) -> dict[int, object]:
    """Maps each variable's column to its label in the frame."""
    home: dict[int, object] = {}
    columns = {name: index for index, name in enumerate(names)}
    for label in labels:
        column = _place(label, columns)
        if column is None or column in home:
            raise _stranger(label, labels, names)
        home[column] = label
    return home


def _place(label: object, columns: Mapping[str, int]) -> int | None:
    """The column with a name or a number: pandas numbers columns without names."""
    if isinstance(label, str):
        return columns.get(label)
    if isinstance(label, bool) or not isinstance(label, int | np.integer):
        return None
    return int(label) if 0 <= label < len(columns) else None


def _stranger(label: object, labels: Sequence[object], names: Sequence[str]) -> DataError:
    known = set(names)
    strange = [repr(other) for other in labels if other not in known]
    note = f"{len(strange)} columns are not variables of the circuit: {few(strange)}"
    return DataError.of(
        "PC451",
        f"the data frame has a column {label!r}, which is not a variable of the circuit",
        notes=(note, f"variables: {few(names)}"),
        help=_near(label, names) or "drop the column, or rename it",
    )


def _column(found: Block, name: str, states: States) -> Block:
    if found.ndim == 1 and states:
        return states_of(found, states, name)
    values = as_numbers(found, name)
    if values.ndim != 1:
        raise _no_numbers("are a column of tables", f"column {name!r}: ")
    return values
