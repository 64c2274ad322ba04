"""Features and the variables that stand for them: categories are coded, real ones standardised."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.errors import OptionError
from pccompiler.ir import Variable, binary, categorical, real
from pccompiler.ir.arrays import Float
from pccompiler.options import shown

MOST_CATEGORIES = 20
"""A column with more distinct values is real, unless it is said to be categorical."""
ROWS_EACH = 5
"""How many rows each of more than two categories must have on average."""


class Column(ABC):
    """A feature and the variable that stands for it."""

    @abstractmethod
    def variable(self, name: str) -> Variable:
        """The variable."""

    @abstractmethod
    def encode(self, x: Float) -> Float:
        """Features as values of the variable, shape ``(rows,)``; NaN stays, and means unknown."""

    @abstractmethod
    def decode(self, codes: Float) -> Float:
        """The features of values of the variable."""

    @abstractmethod
    def log_factor(self, x: Float) -> Float:
        """What turns the variable's log-density into the feature's, in nats, shape ``(rows,)``."""


@dataclass(frozen=True, eq=False)
class Categories(Column):
    """A feature with few values.

    Attributes:
        values: The values in training, ascending.
        rows: How many rows of training had one.
    """

    values: Float
    rows: int

    def variable(self, name: str) -> Variable:
        """One state for each value; a single value gets a second state, which never occurs."""
        return binary(name) if len(self.values) <= 2 else categorical(name, len(self.values))

    def encode(self, x: Float) -> Float:
        """The value's number; a value that was not in training counts as missing."""
        places = np.searchsorted(self.values, x).clip(max=len(self.values) - 1)
        return np.where(np.take(self.values, places) == x, places, np.nan)

    def decode(self, codes: Float) -> Float:
        """The value."""
        return np.take(self.values, codes.astype(np.int64), mode="clip")

    def log_factor(self, x: Float) -> Float:
        """A value that was not in training has the probability of one in ``rows`` + 1."""
        new = np.isnan(self.encode(x)) & ~np.isnan(x)
        return np.where(new, -np.log(self.rows + 1.0), 0.0)


@dataclass(frozen=True, eq=False)
class Reals(Column):
    """A real feature, with the mean and the standard deviation that it had in training."""

    mean: float
    deviation: float

    def variable(self, name: str) -> Variable:
        """A real variable."""
        return real(name)

    def encode(self, x: Float) -> Float:
        """Deviations from the mean."""
        return (x - self.mean) / self.deviation

    def decode(self, codes: Float) -> Float:
        """The inverse of `encode`."""
        return self.mean + codes * self.deviation

    def log_factor(self, x: Float) -> Float:
        """The derivative of `encode`."""
        return np.where(np.isnan(x), 0.0, -np.log(self.deviation))


@dataclass(frozen=True, eq=False)
class Columns:
    """All features of a table."""

    columns: tuple[Column, ...]

    @property
    def variables(self) -> tuple[Variable, ...]:
        """One for each feature: ``x0``, ``x1`` and so on."""
        return tuple(column.variable(f"x{i}") for i, column in enumerate(self.columns))

    def encode(self, x: Float) -> Float:
        """Shape ``(rows, features)``, as the circuit reads it."""
        pairs = zip(self.columns, x.T, strict=True)
        return np.stack([column.encode(values) for column, values in pairs], axis=1)

    def decode(self, codes: Float) -> Float:
        """The inverse of `encode`, for rows without gaps."""
        pairs = zip(self.columns, codes.T, strict=True)
        return np.stack([column.decode(values) for column, values in pairs], axis=1)

    def log_factor(self, x: Float) -> Float:
        """What turns the circuit's log-density into that of the features, shape ``(rows,)``."""
        pairs = zip(self.columns, x.T, strict=True)
        return np.asarray(sum(column.log_factor(values) for column, values in pairs))


def find_columns(x: Float, declared: NDArray[np.bool_] | None) -> Columns:
    """Decide for each column of ``x`` whether it is categorical.

    That is the case if it is constant, or if all its values are whole numbers of which there are at
    most two, or at most 20 with 5 rows each on average.

    Args:
        x: Shape ``(rows, features)``, NaN where missing.
        declared: Which columns are categorical, if the user says so.
    """
    found: list[Column] = []
    for number, column in enumerate(x.T):
        seen = column[~np.isnan(column)]
        values = np.unique(seen)
        chosen = _has_categories(values, len(seen)) if declared is None else declared[number]
        found.append(Categories(values, len(seen)) if len(values) and chosen else _reals(seen))
    return Columns(tuple(found))


def _has_categories(values: Float, rows: int) -> bool:
    whole = bool((np.floor(values) == values).all())
    few = len(values) <= MOST_CATEGORIES and rows >= ROWS_EACH * len(values)
    return len(values) == 1 or (whole and (len(values) <= 2 or few))


def _reals(seen: Float) -> Reals:
    if len(seen) == 0 or seen.min() == seen.max():  # a deviation would be rounding alone
        return Reals(float(seen[0]) if len(seen) else 0.0, 1.0)
    return Reals(float(seen.mean()), float(seen.std()) or 1.0)


def declared_columns(
    given: str | ArrayLike, names: Sequence[str] | None, number: int
) -> NDArray[np.bool_] | None:
    """The option ``categorical_features`` as a mask, or ``None`` for ``"auto"``.

    Args:
        given: ``"auto"``; or a mask, indices or names of features.
        names: Names of the features, if they have any.
        number: Number of features.

    Raises:
        OptionError: If it is none of these.
    """
    if isinstance(given, str) and given == "auto":
        return None
    chosen = np.asarray(given)
    if chosen.dtype.kind in "UO" and chosen.ndim == 1 and names is not None:
        chosen = np.array([names.index(name) if name in names else number for name in chosen])
    mask = chosen.dtype.kind == "b" and chosen.shape == (number,)
    fits = chosen.ndim == 1 and chosen.dtype.kind in "iu" and bool((chosen < number).all())
    if not (mask or (fits and bool((chosen >= 0).all())) or chosen.size == 0):
        raise OptionError.of(
            "PC821",
            f"categorical_features is {shown(given)}, for {number} features",
            help="give 'auto', a mask, or a list of indices or names of columns",
        )
    result = np.zeros(number, np.bool_)
    result[chosen if chosen.size else []] = True
    return result
