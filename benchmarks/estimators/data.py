"""Data sets that ship with scikit-learn, cut in three, with values deleted at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split

LOAD = {"breast_cancer": load_breast_cancer, "digits": load_digits, "wine": load_wine}
MASKS = 3
"""How many times values are deleted from the validation and test rows."""
Array = NDArray[Any]  # features or labels


class Rows(NamedTuple):
    """Rows and their classes.

    Attributes:
        x: Shape ``(rows, features)``, NaN where deleted.
        y: Shape ``(rows,)``.
        full: Like ``x``, before anything was deleted.
    """

    x: Array
    y: Array
    full: Array


class Split(NamedTuple):
    """A data set in three parts.

    Attributes:
        train: 60 % of the rows.
        gaps: The features of ``train`` with values deleted; the same if ``train`` lacks some.
        valid: For each rate, 20 % of the rows, to choose settings.
        test: For each rate, the other 20 %.
    """

    train: Rows
    gaps: Array
    valid: tuple[Rows, ...]
    test: tuple[Rows, ...]


def split(name: str, rates: Sequence[float], seed: int, *, train: bool) -> Split:
    """A data set with values deleted.

    Args:
        name: One of `LOAD`.
        rates: The probability of each value to be deleted. In training rows, each row has one of
            the rates.
        seed: Of the split and of what is deleted.
        train: Whether values are deleted from the training rows, too.
    """
    x, y = map(np.asarray, LOAD[name](return_X_y=True))
    rng = np.random.default_rng(seed)
    rest, last, of_rest, of_last = _cut(x, y, 0.2, seed)
    first, middle, of_first, of_middle = _cut(rest, of_rest, 0.25, seed)
    gaps = _deleted(first, rng.choice(rates, (len(first), 1)), rng)
    return Split(
        Rows(gaps if train else first, of_first, first),
        gaps,
        tuple(_repeated(middle, of_middle, rate, rng) for rate in rates),
        tuple(_repeated(last, of_last, rate, rng) for rate in rates),
    )


def _cut(x: Array, y: Array, part: float, seed: int) -> tuple[Array, ...]:
    """Most rows, the ``part``, and the classes of both."""
    return tuple(
        map(np.asarray, train_test_split(x, y, test_size=part, random_state=seed, stratify=y))
    )


def _deleted(x: Array, rate: float | Array, rng: np.random.Generator) -> Array:
    return np.where(rng.random(x.shape) < rate, np.nan, x)


def _repeated(x: Array, y: Array, rate: float, rng: np.random.Generator) -> Rows:
    full = np.tile(x, (MASKS, 1))
    return Rows(_deleted(full, rate, rng), np.tile(y, MASKS), full)
