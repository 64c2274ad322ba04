"""Columns of a model's rows as the values that data frames hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import DataError
from pccompiler.frames.columns import source_of
from pccompiler.ir import Variable
from pccompiler.ir.variables import Label, Source


def decoded(variable: Variable, values: NDArray[Any]) -> list[Label | None]:
    """A column of rows as Python values, ``None`` where one is missing.

    A number of single precision becomes the shortest decimal that stands for it: 36.7, and not
    36.70000076.

    Raises:
        DataError: If a number is not that of a label.
    """
    source, whole = source_of(variable), variable.domain != "real"
    found: list[Label | None] = []
    single = values.dtype == np.float32 and not whole
    numbers = [float(str(value)) for value in values] if single else values.tolist()
    for value in numbers:
        if value != value:
            found.append(None)
        elif source.labels:
            found.append(_label(source, float(value)))
        else:
            found.append(int(value) if whole else value)
    return found


def _label(source: Source, state: float) -> Label:
    if state.is_integer() and 0 <= state < len(source.labels):
        return source.labels[int(state)]
    raise DataError.of(
        "PC808",
        f"{state:g} is not the number of a label of column {source.column!r}",
        help=f"give whole numbers from 0 to {len(source.labels) - 1}, as schema.encode does",
    )
