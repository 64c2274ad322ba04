"""The NumPy interpreter of plans against enumeration, which does not use plans."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.ir import Circuit, Direct, Kind, real
from pccompiler.ir.plan.layers import Form
from pccompiler.ir.plan.materialize import by_group, by_weight, unconstrain
from pccompiler.ir.plan.materialize import constrain as definition
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.passes import plan
from pccompiler.structures import naive_bayes_mixture
from pccompiler.testing import density, marginal, random_weights, total_mass, with_values, worlds
from pccompiler.testing.strategies import circuits, rows


def evaluate(circuit: Circuit, x: np.ndarray) -> np.ndarray:
    lowered = plan(circuit.replace(generator=Direct(floor=0.0)), dtype="float64")
    return np.exp(log_likelihood(lowered, by_group(lowered, circuit.weights.values), x))


@given(circuits())
def test_every_world(circuit: Circuit) -> None:
    every = worlds(circuit)
    want = [density(circuit, world) for world in every]
    np.testing.assert_allclose(evaluate(circuit, every), want, rtol=1e-12, atol=1e-300)
    assert math.fsum(want) == pytest.approx(1.0, rel=1e-12)


@given(circuits(), st.integers(0, 1000))
def test_missing_values_sum_over_completions(circuit: Circuit, seed: int) -> None:
    x = rows(circuit, seed)
    want = [marginal(circuit, row) for row in x]
    np.testing.assert_allclose(evaluate(circuit, x), want, rtol=1e-12, atol=1e-300)


@given(circuits(reals=True, zeros=False), st.integers(0, 1000))
def test_densities_of_complete_rows(circuit: Circuit, seed: int) -> None:
    x = rows(circuit, seed, missing=0.0)
    want = [density(circuit, row) for row in x]
    np.testing.assert_allclose(evaluate(circuit, x), want, rtol=1e-11, atol=1e-300)


def test_a_real_variable_integrates_to_one() -> None:
    circuit = naive_bayes_mixture([real("a")], 3)
    circuit = with_values(circuit, random_weights(circuit, 1))
    grid = np.linspace(-30, 30, 20_001)[:, None]
    assert np.trapezoid(evaluate(circuit, grid), grid[:, 0]) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("n", range(1, 15))
def test_total_mass_of_every_small_structure(n: int) -> None:
    for circuit in (pc.rat_spn(n, 3, 3, seed=n), pc.rat_spn(n, 2, 4, depth=1), pc.hmm(n, 3)):
        valued = with_values(circuit, random_weights(circuit, n))
        assert math.fsum(evaluate(valued, worlds(valued))) == pytest.approx(1.0, rel=1e-12)


def test_enumeration_agrees_with_paper_and_pencil() -> None:
    text = (
        "pcir 1\nvariable x binary\nvariable y binary\n"
        "%a = input x bernoulli 1 @a\n%b = input y bernoulli 1 @b\n%p = product %a %b\n"
        "%c = input x bernoulli 1 @c\n%d = input y bernoulli 1 @d\n%q = product %c %d\n"
        "%r = sum 1 %p %q @r\nroot %r\n"
        "weight @a 0.5\nweight @b 0.25\nweight @c 0\nweight @d 1\nweight @r 0.75 0.25\n"
    )
    circuit = pc.ir.parse(text)
    assert density(circuit, [1, 1]) == 0.75 * 0.5 * 0.25
    assert density(circuit, [0, 1]) == 0.75 * 0.5 * 0.25 + 0.25
    assert marginal(circuit, [math.nan, 0]) == 0.75 * 0.75
    assert total_mass(circuit) == 1.0


def test_the_plan_reads_upwards_and_ends_at_the_root() -> None:
    lowered = plan(pc.rat_spn(69, 4, 5))
    for number, layer in enumerate(lowered.layers):
        assert all(below < number for below in layer.below)
        assert layer.kind == Kind.INPUT or layer.operands
    assert lowered.layers[-1].rows == lowered.layers[-1].units == 1
    gathers = [
        n for n, layer in enumerate(lowered.layers) for o in layer.operands if o.start is None
    ]
    assert gathers == [1]  # only leaf sums gather; all above are views


def test_forms() -> None:
    linear = plan(pc.rat_spn(16, 2, 3))
    assert {layer.form for layer in linear.layers[:-1]} == {Form.LINEAR}
    logs = plan(pc.rat_spn(16, 2, 3), numerics="log")
    assert {layer.form for layer in logs.layers[1:]} == {Form.LOG}
    given_zeros = plan(pc.rat_spn(16, 2, 3).replace(generator=Direct(floor=0.0)))
    assert {layer.form for layer in given_zeros.layers[1:]} == {Form.LOG}


def test_cost_counts_values() -> None:
    lowered = plan(pc.rat_spn(4, 1, 2))
    cost = lowered.cost(batch=10)
    # inputs 4x2, leaf sums 4x2, products 2x2, sums 2x2, product 1x2, sum 1, mixture 1
    assert cost.all_values == 10 * (8 + 8 + 4 + 4 + 2 + 1 + 1)
    assert 0 < cost.peak_values < cost.all_values
    assert cost.flops > 0


@given(circuits(reals=True, zeros=False))
def test_unconstrained_numbers_give_back_the_weights(circuit: Circuit) -> None:
    lowered = plan(circuit.replace(generator=Direct(floor=0.0)))
    values = by_group(lowered, circuit.weights.values)
    again = [
        definition(unconstrain(value, group), group, 0.0)
        for value, group in zip(values, lowered.groups, strict=True)
    ]
    for one, other in zip(values, again, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
    assert by_weight(lowered, values).keys() == circuit.weights.values.keys()
