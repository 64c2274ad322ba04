"""Converts arrays from any source to the loader's two types."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pccompiler.datasets.records import Entries
from pccompiler.errors import DataError


def as_entries(array: NDArray[Any], what: str) -> Entries:  # any dtype: checked here
    """Rows by variables, C-contiguous: ``uint8`` if that is lossless, otherwise ``float64``.

    Args:
        array: Booleans and integers from 0 to 255 become ``uint8``, other real numbers ``float64``.
        what: Names the array in errors.

    Raises:
        DataError: If it is not a table of real numbers, or has no variables.
    """
    if array.ndim != 2 or array.shape[1] == 0:
        raise DataError.of(
            "PC414",
            f"{what} has shape {array.shape}, not (rows, variables)",
            help="give one row per example: x.reshape(len(x), -1)",
        )
    if array.dtype.kind not in "biuf":
        raise DataError.of(
            "PC414",
            f"{what} contains {array.dtype}, not numbers",
            help="encode each value as a number",
        )
    if array.dtype.kind == "f" or (array.size and (array.min() < 0 or array.max() > 255)):
        return np.ascontiguousarray(array, dtype=np.float64)
    return np.ascontiguousarray(array, dtype=np.uint8)


def unreadable(path: object, what: str, cause: Exception, way_out: str) -> DataError:
    """The error for a file that cannot be read as ``what``."""
    return DataError.of(
        "PC414",
        f"{path} cannot be read as {what}",
        notes=[f"cause: {str(cause) or type(cause).__name__}"],
        help=way_out,
    )
