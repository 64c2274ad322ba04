"""The brute-force definition, against numbers worked out by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given

from pccompiler.errors import DataError
from pccompiler.ir import Builder, Circuit, categorical
from pccompiler.testing import density, marginal, random_weights, total_mass, with_values, worlds
from pccompiler.testing.refusals import refusals
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]


def two_by_three() -> Circuit:
    """A sum over the Kronecker product of two and of three units."""
    b = Builder()
    x, y = b.binary("x"), b.variable(categorical("y", 3))
    left = b.bernoulli(x, [0.25, 0.5])
    right = b.categorical(y, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.25, 0.25]])
    weights = [[1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1 / 32]]
    return b.build(b.sum([b.kronecker([left, right])], weights=weights))


def test_the_last_operand_varies_fastest() -> None:
    # x = 1: 1/4 and 1/2; y = 1: 0, 1 and 1/4; entries (0,0) (0,1) (0,2) (1,0) (1,1) (1,2)
    want = 1 / 16 * 1 / 4 * 1 + 1 / 8 * 1 / 4 * 1 / 4 + 1 / 2 * 1 / 2 * 1 + 1 / 32 * 1 / 2 * 1 / 4
    assert density(two_by_three(), [1, 1]) == want


def test_a_dense_sum_reads_its_operands_in_order() -> None:
    b = Builder()
    x = b.binary("x")
    one, two = b.bernoulli(x, [0.5]), b.bernoulli(x, [0.25, 0.125])
    circuit = b.build(b.sum([two, one], weights=[[0.5, 0.125, 0.375]]))
    assert density(circuit, [1]) == 0.5 * 0.25 + 0.125 * 0.125 + 0.375 * 0.5


def test_a_mixture_pairs_units() -> None:
    b = Builder()
    x = b.binary("x")
    one, two = b.bernoulli(x, [1.0, 0.5]), b.bernoulli(x, [0.25, 0.125])
    mixed = b.mixture([one, two], weights=[[0.5, 0.5], [0.25, 0.75]])
    circuit = b.build(b.sum([mixed], weights=[[0.75, 0.25]]))
    unit = [0.5 * 1.0 + 0.5 * 0.25, 0.25 * 0.5 + 0.75 * 0.125]
    assert density(circuit, [1]) == 0.75 * unit[0] + 0.25 * unit[1]


def test_a_normal_density() -> None:
    b = Builder()
    circuit = b.build(b.gaussian(b.real("h"), [[1.0, 2.0]]))
    assert density(circuit, [1.0]) == pytest.approx(0.19947114020071635, rel=1e-15)
    assert density(circuit, [3.0]) == pytest.approx(0.12098536225957168, rel=1e-15)


def test_worlds_are_all_states() -> None:
    assert worlds(two_by_three()).tolist() == [[x, y] for x in range(2) for y in range(3)]


def test_marginals_add_up() -> None:
    circuit = two_by_three()
    assert marginal(circuit, [1, 2]) == density(circuit, [1, 2])
    assert marginal(circuit, [math.nan, 2]) == sum(density(circuit, [x, 2]) for x in (0, 1))
    assert marginal(circuit, [math.nan, math.nan]) == total_mass(circuit) == 1.0


def test_given_weights_can_be_replaced() -> None:
    circuit = two_by_three()
    other = dict(circuit.weights.values) | {0: np.array([[1.0], [1.0]])}
    assert density(circuit, [0, 1], other) == 0.0
    assert density(with_values(circuit, other), [0, 1]) == 0.0
    assert density(circuit, [0, 1]) > 0.0


def test_worlds_that_do_not_fit(golden: Golden) -> None:
    b = Builder()
    x, h = b.binary("x"), b.real("h")
    circuit = b.build(b.product([b.bernoulli(x, [0.5]), b.gaussian(h, [[0.0, 1.0]])]))
    attempts: list[Callable[[], float]] = [
        lambda: density(circuit, [math.nan, 0.0]),
        lambda: density(circuit, [2, 0.0]),
        lambda: density(circuit, [0.5, 0.0]),
        lambda: marginal(circuit, [1, math.nan]),
    ]
    golden(refusals(attempts, DataError))


@given(circuits(reals=True, values=False))
def test_random_weights_fit(circuit: Circuit) -> None:
    values = random_weights(circuit, 3, zeros=True)
    shapes = zip(circuit.weights.rows.tolist(), circuit.weights.columns.tolist(), strict=True)
    assert [values[weight].shape for weight in range(len(circuit.weights))] == list(shapes)
    again = random_weights(circuit, 3, zeros=True)
    assert all(np.array_equal(values[weight], again[weight]) for weight in values)


def test_random_weights_without_zeros_are_positive() -> None:
    values = random_weights(two_by_three(), 0)
    assert all((table > 0.0).all() and (table < 1.0).all() for table in values.values())


def test_importing_the_package_loads_neither_hypothesis_nor_a_backend() -> None:
    code = (
        "import pccompiler.testing, sys; print(*{'hypothesis', 'torch', 'onnx'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
