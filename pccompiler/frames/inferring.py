"""Decides what a column of a data frame is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import DataError
from pccompiler.frames.columns import labelled
from pccompiler.ir import Variable
from pccompiler.ir.variables import Source
from pccompiler.options import as_float, shown
from pccompiler.tables import as_numbers
from pccompiler.tables.labels import is_missing

MOST_COUNT: Final = 255
"""A column with larger whole numbers is taken to be real: a Poisson leaf seldom fits those."""
_MOST_SEEN: Final = 1000
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.\-\[\]]+")


def infer_column(
    name: str, source: Source, values: NDArray[Any], declared: Sequence[Any]
) -> Variable:
    """Decide what a column is.

    Args:
        name: The name of its variable.
        source: Its name and library.
        values: Its values, of any type.
        declared: The categories of its type, in order; may be empty.

    Raises:
        DataError: If it is neither numbers, text nor booleans, or has a single label.
    """
    if declared:
        return _of_labels(name, source, declared, f"{len(declared)} declared categories")
    if values.ndim != 1:
        raise _unusable(source, "tables")
    if values.dtype.kind in "OUT":
        values = np.array([v for v in values.tolist() if not is_missing(v)], object)
        kinds = {_kind(value) for value in values.tolist()}
        if kinds == {"text"}:
            return _of_text(name, source, values)
        if len(kinds) > 1 or "other" in kinds:
            raise _unusable(source, " and ".join(sorted(kinds - {"other"})) or _type(values))
        values = values.astype(np.bool_) if kinds == {"booleans"} else as_numbers(values)
    if values.dtype.kind not in "biuf":
        raise _unusable(source, str(values.dtype))
    return _of_numbers(name, source, values)


def _of_text(name: str, source: Source, values: NDArray[Any]) -> Variable:
    labels = sorted(set(values.tolist()))
    unique = len(labels) > 20 and 2 * len(labels) > len(values)
    note = "; an identifier? then drop it" if unique else ""
    return _of_labels(name, source, labels, f"text with {len(labels):,} labels{note}")


def _of_labels(name: str, source: Source, labels: Sequence[Any], reason: str) -> Variable:
    if len(labels) < 2:
        raise DataError.of(
            "PC803",
            f"column {source.column!r} has a single label: {shown(labels[0])}",
            help="drop the column, which tells nothing; or declare its categories in the frame",
        )
    return labelled(name, replace(source, reason=reason), labels)


def _of_numbers(name: str, source: Source, values: NDArray[Any]) -> Variable:
    if values.dtype.kind == "b":
        return labelled(name, replace(source, reason="booleans"), (False, True))
    seen = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    if not len(seen):
        return Variable(name, "real", 0, source=replace(source, reason="no values"))
    low, high = float(seen.min()), float(seen.max())
    whole = bool(np.isfinite(seen).all() and (seen == np.floor(seen)).all())
    source = replace(
        source,
        reason=f"{'whole ' if whole else ''}numbers from {low:g} to {high:g}",
        seen=tuple(map(int, np.unique(seen))) if whole and high - low < _MOST_SEEN else (),
    )
    if not whole or low < 0 or high > MOST_COUNT:
        return Variable(name, "real", 0, source=source)
    if high <= 1:
        return Variable(name, "binary", 2, source=source)
    return Variable(name, "count", 0, source=source)


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool | np.bool_):
        return "booleans"
    return "other" if as_float(value) is None else "numbers"


def _type(values: NDArray[Any]) -> str:
    return next(type(value).__name__ for value in values.tolist() if _kind(value) == "other")


def _unusable(source: Source, what: str) -> DataError:
    return DataError.of(
        "PC803",
        f"column {source.column!r} holds {what}, which cannot be a variable",
        help="convert it to numbers, text or booleans, or drop it; a date, for example, may become "
        "a year and a month",
    )


def variable_names(columns: Iterable[str]) -> list[str]:
    """Names of variables that the text form can hold, one for each column, all different."""
    taken: set[str] = set()
    found: list[str] = []
    for column in columns:
        base = _NO_NAME.sub("_", column) or "_"
        base = f"x{base}" if base.isdigit() else base
        name, number = base, 2
        while name in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name)
        found.append(name)
    return found
