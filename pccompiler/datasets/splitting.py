"""Splits a table into training, validation and test rows."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from pccompiler.datasets.arrays import as_entries
from pccompiler.datasets.records import SPLITS, Dataset, Entries
from pccompiler.errors import DataError
from pccompiler.options import as_float, is_of, seed_of, shown
from pccompiler.tables import as_numbers, as_records, is_frame

Fractions = tuple[float, float, float]


def split(
    x: ArrayLike,
    seed: int,
    fractions: Fractions = (0.7, 0.1, 0.2),
    name: str = "table",
) -> Dataset:
    """Shuffle the rows of a table and split it into three parts.

    Args:
        x: Shape ``(rows, variables)``; real numbers, NaN for missing values.
        seed: The same seed gives the same split.
        fractions: Fractions of the rows for training, validation and test, with sum 1. The first
            two are rounded down, and test gets the rest.
        name: Name of the result.

    Raises:
        DataError: If ``x`` is not a table, the fractions do not sum to 1, or a part has no rows.
    """
    if is_frame(x) or as_records(x):
        raise DataError.of(
            "PC414",
            f"the table is a {type(x).__name__}, but a data set has no column names",
            help="give its rows as numbers: pccompiler.Schema.infer(frame).encode(frame)",
        )
    rows = as_entries(as_numbers(x), "the table")
    order = np.random.default_rng(seed_of(seed)).permutation(len(rows))
    return cut(rows[order], name, fractions)


def cut(rows: Entries, name: str, fractions: Fractions = (0.7, 0.1, 0.2)) -> Dataset:
    """Cut a table into three parts without shuffling; see `split`."""
    sizes = _sizes(len(rows), fractions)
    bounds = (0, sizes[0], sizes[0] + sizes[1], len(rows))
    train, valid, test = (rows[a:b] for a, b in pairwise(bounds))
    return Dataset(name, train, valid, test)


def _sizes(num_rows: int, fractions: Fractions) -> tuple[int, int, int]:
    # The nearest simple fraction, since 0.29 * 100 in floating point rounds down to 28.
    listed = is_of(fractions, list | tuple)
    numbers = [as_float(f) for f in fractions] if listed else []
    found = [f for f in numbers if f is not None and math.isfinite(f) and f > 0]
    parts = [Fraction(f).limit_denominator(10**6) for f in found]
    if len(numbers) != 3 or len(parts) != 3 or sum(parts) != 1:
        raise DataError.of(
            "PC420",
            f"fractions {shown(fractions)} are not three positive numbers with sum 1",
            help="use, for example, (0.7, 0.1, 0.2)",
        )
    train, valid = (math.floor(num_rows * part) for part in parts[:2])
    sizes = (train, valid, num_rows - train - valid)
    if 0 in sizes:
        empty = " and ".join(part for part, size in zip(SPLITS, sizes, strict=True) if size == 0)
        raise DataError.of(
            "PC420",
            f"{num_rows} rows cut by {tuple(fractions)} leave no rows for {empty}",
            help="give more rows or larger fractions",
        )
    return sizes
