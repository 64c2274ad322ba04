"""Labels of states: what data frames and dicts hold in place of the numbers 0, 1, and so on."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import DataError
from pccompiler.options import shown

States: TypeAlias = Mapping[Any, int]
"""The state of each label; labels that are equal numbers, such as ``True`` and 1, are the same."""
Codes: TypeAlias = Sequence[States]
"""For each variable the states of its labels; none if its values are numbers."""
_SHOWN = 8


def is_missing(value: object) -> bool:
    """Whether a cell is missing: ``None``, NaN, pandas' ``NA`` and ``NaT``, or masked."""
    if value is None or value is np.ma.masked or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def cells(column: Any) -> NDArray[Any]:  # of any library, and of any type
    """The values of a data frame's column as an array, of any type."""
    kind: Any = getattr(column, "type", None)
    if hasattr(kind, "index_type"):  # pyarrow's to_numpy invents values for missing labels
        column = column.cast(kind.value_type)
    found: NDArray[Any] = column.to_numpy() if hasattr(column, "to_numpy") else np.asarray(column)
    return found


def state_of(value: object, states: States, name: object, row: int) -> float:
    """The state of a label, NaN if it is missing.

    Raises:
        DataError: If there is no such label.
    """
    if is_missing(value):
        return math.nan
    try:
        return float(states[value])
    except (KeyError, TypeError):  # the latter for lists
        raise _unknown(value, states, name, row) from None


def states_of(values: NDArray[Any], states: States, name: object) -> NDArray[np.float64]:
    """The state of each label of a column, NaN where it is missing.

    Raises:
        DataError: Names the first row with an unknown label.
    """
    found = [state_of(value, states, name, row) for row, value in enumerate(values.tolist())]
    return np.array(found, np.float64)


def _unknown(value: object, states: States, name: object, row: int) -> DataError:
    labels = list(states)
    listed = ", ".join(map(repr, labels[:_SHOWN])) + (", ..." if len(labels) > _SHOWN else "")
    words = {str(label): label for label in labels}
    near = difflib.get_close_matches(str(value)[:100], words, n=1)
    guess = f"did you mean {words[near[0]]!r}? otherwise " if near else ""
    return DataError.of(
        "PC801",
        f"row {row}: {shown(value)} is not a label of column {name!r}",
        notes=(f"labels: {listed}",),
        help=f"{guess}correct it, or leave it missing (None); a new label needs a new model, "
        "built from schema.replace(...) with all labels",
    )
