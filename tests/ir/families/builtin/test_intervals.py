"""Log-probabilities of intervals against sums and integrals of the densities."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import CircuitError
from pccompiler.ir import Family, Variable
from pccompiler.ir.arrays import Float
from pccompiler.ir.families import Parameter, real
from pccompiler.ir.families.supports import split
from pccompiler.testing.families import FAMILIES

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_EXACT = 1e-10


def integral(family: Family, table: Float, low: float, high: float, variable: Variable) -> Float:
    """The mass of each unit between two values, by quadrature between kinks of the density."""
    kinks = {low, high, *(e for e in variable.edges if low < e < high)}
    if family == Family.LAPLACE:
        kinks |= {float(m) for m in table[:, 0] if low < m < high}
    total = np.zeros(len(table))
    for left, right in pairwise(sorted(kinks)):
        edges = np.linspace(left, right, 33)
        half = np.diff(edges)[:, None] / 2.0
        points = (edges[:-1, None] + half * (_NODES + 1.0)).ravel()
        logs = family.log_density(table[None], points[None, None], [variable])[0]
        total += np.exp(logs) @ (half * _WEIGHTS).ravel()
    return total


def sum_of(family: Family, table: Float, low: float, high: float, variable: Variable) -> Float:
    """The mass of each unit on the whole numbers of an interval."""
    last = variable.cardinality - 1.0 if variable.discrete else 20_000.0
    states = np.arange(last + 1.0)
    states = states[(states >= low) & (states <= high)]
    total: Float = np.exp(family.log_density(table[None], states[None, None], [variable])[0]).sum(1)
    return total


def random_table(family: Family, variable: Variable, seed: int) -> Float:
    rng = np.random.default_rng(seed)
    table = np.empty((3, family.columns(variable)))
    for parameter, part in split(table, family.parameters):
        part[:] = parameter.support.draw(rng, (3, part.shape[1]), zeros=False)
    return table


def log_interval(
    family: Family, table: Float, low: float, high: float, variable: Variable
) -> Float:
    first, last = np.full((1, 1, 1), low), np.full((1, 1, 1), high)
    return family.log_interval(table[None], first, last, [variable])[0, :, 0]


ENDS = st.floats(-6.0, 9.0) | st.sampled_from([-math.inf, math.inf, 0.0, 1.0, 2.0])


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
@given(low=ENDS, high=ENDS, seed=st.integers(0, 99))
def test_intervals_hold_the_mass_between_their_ends(
    family: Family, low: float, high: float, seed: int
) -> None:
    low, high = sorted((low, high))
    variable = FAMILIES[family]
    table = random_table(family, variable, seed)
    found = np.exp(log_interval(family, table, low, high, variable))
    if family.discrete:
        want = sum_of(family, table, low, high, variable)
        np.testing.assert_allclose(found, want, rtol=_EXACT, atol=1e-14)
        return
    if family == Family.GAMMA:  # the density may grow without bound near 0
        low, high = max(low, 0.3), max(high, 0.3)
        found = np.exp(log_interval(family, table, low, high, variable))
    low, high = min(max(low, -60.0), 60.0), min(max(high, -60.0), 60.0)
    want = integral(family, table, low, high, variable)
    np.testing.assert_allclose(found, want, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("family", "row", "low", "high", "want"),
    [
        (Family.GAUSSIAN, [0.0, 1.0], 40.0, math.inf, -804.608442013754),
        (Family.GAUSSIAN, [0.0, 1.0], -math.inf, -40.0, -804.608442013754),
        (Family.LAPLACE, [0.0, 1.0], 900.0, math.inf, -900.0 - math.log(2.0)),
        (Family.LAPLACE, [0.0, 1.0], 900.0, 901.0, -900.0 + math.log(0.5 - 0.5 / math.e)),
        (Family.GAMMA, [1.0, 2.0], 500.0, math.inf, -1000.0),
        (Family.GAMMA, [1.0, 2.0], 0.0, 1e-300, math.log(2e-300)),
        (Family.GEOMETRIC, [0.5], 2000.0, math.inf, -2000.0 * math.log(2.0)),
        (Family.NEGATIVE_BINOMIAL, [1.0, 0.5], 2000.0, math.inf, -2000.0 * math.log(2.0)),
        (Family.POISSON, [1e-200], 2.0, math.inf, -400.0 * math.log(10.0) - math.log(2.0)),
        (Family.POISSON, [0.0], 0.0, math.inf, 0.0),
        (Family.POISSON, [0.0], 1.0, math.inf, -math.inf),
    ],
)
def test_tails_keep_their_digits(
    family: Family, row: list[float], low: float, high: float, want: float
) -> None:
    variable = FAMILIES[family]
    (found,) = log_interval(family, np.array([row]), low, high, variable)
    assert found == pytest.approx(want, rel=1e-11)


def test_intervals_without_values_have_no_mass() -> None:
    for family, variable in FAMILIES.items():
        table = random_table(family, variable, 0)
        low, high = (0.2, 0.8) if family.discrete else (0.3, 0.3)
        assert (log_interval(family, table, low, high, variable) == -np.inf).all(), family


def test_a_family_without_a_distribution_function_is_named() -> None:
    class Hidden(Family):
        keyword, domains = "hidden", ("real",)
        parameters = (Parameter("loc", real),)

    hidden = int.__new__(Hidden, 99)
    with pytest.raises(CircuitError, match="hidden leaves have no distribution function"):
        log_interval(hidden, np.zeros((1, 1)), 0.0, 1.0, FAMILIES[Family.GAUSSIAN])
