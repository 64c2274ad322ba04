"""A small table of all kinds of columns."""

from __future__ import annotations

import numpy as np
import pytest

from pccompiler.ir.arrays import Float, Int

VALUES = np.array([-1.0, 2.0, 7.0])


@pytest.fixture(name="side")
def clusters() -> Int:
    return np.random.default_rng(0).integers(0, 2, 120)


@pytest.fixture(name="table")
def table_of_two_clusters(side: Int) -> Float:
    """A real column, one of three values, a binary one, and a real one of the size 1e6."""
    rng, rows = np.random.default_rng(1), len(side)
    return np.column_stack(
        [
            3.0 * side + rng.normal(size=rows),
            VALUES[side + (rng.random(rows) < 0.3)],
            np.where(rng.random(rows) < 0.1, 1.0 - side, side),
            1e6 * (side + 0.1 * rng.normal(size=rows)),
        ]
    )
