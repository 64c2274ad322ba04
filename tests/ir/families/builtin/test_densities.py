"""Log-densities against the formulas of a textbook, written with `math`."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pccompiler.ir import Family, Variable, categorical, count, real

COUNT, REAL = count("k"), real("x")
CASES: list[tuple[Family, Variable, list[float], float, float]] = [
    (Family.GAUSSIAN, REAL, [1.0, 2.0], 0.5, math.exp(-0.03125) / math.sqrt(8.0 * math.pi)),
    (Family.LAPLACE, REAL, [1.0, 2.0], 0.5, math.exp(-0.25) / 4.0),
    (Family.GAMMA, REAL, [3.0, 2.0], 1.5, 2.0**3 * 1.5**2 * math.exp(-3.0) / 2.0),
    (Family.GAMMA, REAL, [0.5, 2.0], 0.0, 0.0),
    (Family.GAMMA, REAL, [0.5, 2.0], -1.0, 0.0),
    (Family.BINOMIAL, categorical("n", 6), [0.3], 2.0, 10.0 * 0.3**2 * 0.7**3),
    (Family.POISSON, COUNT, [2.5], 3.0, 2.5**3 * math.exp(-2.5) / 6.0),
    (Family.GEOMETRIC, COUNT, [0.3], 4.0, 0.7**4 * 0.3),
    (Family.GEOMETRIC, COUNT, [1.0], 0.0, 1.0),
    (Family.GEOMETRIC, COUNT, [1.0], 1.0, 0.0),
    (Family.NEGATIVE_BINOMIAL, COUNT, [3.0, 0.3], 2.0, math.comb(4, 2) * 0.3**3 * 0.7**2),
    (Family.NEGATIVE_BINOMIAL, COUNT, [1.0, 0.3], 4.0, 0.7**4 * 0.3),
    (Family.HISTOGRAM, real("h", [0.0, 0.5, 2.0]), [0.4, 0.6], 1.0, 0.4),
]


@pytest.mark.parametrize(("family", "variable", "row", "x", "want"), CASES)
def test_log_density(
    family: Family, variable: Variable, row: list[float], x: float, want: float
) -> None:
    table, states = np.array([[row]]), np.array([[[x]]])
    found = family.log_density(table, states, [variable])
    assert found.shape == (1, 1, 1)
    assert math.exp(found[0, 0, 0]) == pytest.approx(want, rel=1e-12)
