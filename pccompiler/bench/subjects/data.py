"""Rows of data from which steps gather their batches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pccompiler.bench.subjects.subject import Subject
from pccompiler.ir.arrays import Int

ROWS = 2000


def walks(subject: Subject) -> NDArray[np.float64]:
    """States that depend on the previous ones: noisy walks along columns, shape (rows, n)."""
    rng = np.random.default_rng(0)
    n, values = subject.n, subject.values
    moved = rng.random((ROWS, n)) < 0.3
    steps = np.where(moved, rng.integers(0, values, (ROWS, n)), 0)
    steps[:, 0] = rng.integers(0, values, ROWS)
    return (steps.cumsum(1) % values).astype(np.float64)


def fields(side: int, values: int) -> Int:
    """Smooth random images with noise, shape (rows, side * side)."""
    rng = np.random.default_rng(0)
    places = np.linspace(0.0, 1.0, side)
    phases = rng.uniform(0.0, 2.0 * np.pi, (ROWS, 4, 1, 1))
    turns = rng.normal(0.0, 3.0, (ROWS, 4, 2, 1, 1))
    waves = np.sin(phases + turns[:, :, 0] * places + turns[:, :, 1] * places[:, None])
    image = waves.sum(1).reshape(ROWS, -1) + 0.2 * rng.normal(size=(ROWS, side * side))
    ranks = (image - image.min()) / (image.max() - image.min())
    states: Int = np.minimum((ranks * values).astype(np.int64), values - 1)
    return states
