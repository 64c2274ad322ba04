"""Structures against handwritten formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

import pccompiler as pc
from pccompiler.ir import Direct, Family, Kind, categorical, real
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.passes import findings, plan
from pccompiler.structures import hmm, naive_bayes_mixture, rat_spn
from pccompiler.testing import random_weights, with_values


def values_of(circuit: pc.Circuit, x: np.ndarray) -> np.ndarray:
    lowered = plan(circuit.replace(generator=Direct(floor=0.0)), dtype="float64")
    return log_likelihood(lowered, by_group(lowered, circuit.weights.values), x)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 16, 31, 69])
def test_rat_spn_has_the_papers_shape(n: int) -> None:
    k, r = 4, 3
    circuit = rat_spn(n, r, k)
    assert findings(circuit) == ()
    widths = [n]
    while widths[-1] > 1:
        widths.append(widths[-1] // 2)  # the last of an odd level joins the last pair
    counts = circuit.statistics.kinds
    assert counts["input"] == n
    assert counts["product"] == r * sum(widths[1:])
    assert counts["sum"] == r * (sum(widths) + (n == 1))
    assert counts["mixture"] == 1
    arity = circuit.fan_in[circuit.kind == Kind.PRODUCT]
    assert set(arity.tolist()) <= {2, 3}


def test_used_weights_of_powers_of_two() -> None:
    for n in (2, 4, 8, 64):
        entries = rat_spn(n, 1, 3).statistics.weight_entries
        assert entries == (n - 2) * 9 + (2 * n + 1) * 3 + 1  # PAPER.md, and the mixture


def test_replicas_and_seeds_differ() -> None:
    assert rat_spn(16, 2, 2, seed=0) == rat_spn(16, 2, 2, seed=0)
    assert rat_spn(16, 2, 2, seed=0) != rat_spn(16, 2, 2, seed=1)


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 9])
def test_depth(depth: int) -> None:
    circuit = rat_spn(13, 2, 3, depth=depth)
    assert findings(circuit) == ()
    # leaf sums, then a product and a sum per join; a leaf region of several variables counts once
    joins = min(depth + 1, 3)  # 13 -> 6 -> 3 -> 1
    assert circuit.statistics.depth == 2 + 2 * joins


def test_leaf_families() -> None:
    mixed = rat_spn([real("a"), categorical("b", 4), real("c"), categorical("d", 2)], 2, 3)
    families = {Family(f) for f in mixed.family[mixed.kind == Kind.INPUT].tolist()}
    assert families == {Family.GAUSSIAN, Family.INDICATOR}
    own = rat_spn(4, 2, 3, leaf="categorical")
    assert own.statistics.kinds["input"] == 8  # one distribution per replica
    assert findings(mixed) == findings(own) == ()


def test_hmm_equals_the_forward_algorithm() -> None:
    circuit = hmm([categorical(f"t{i}", 4) for i in range(6)], 3)
    values = random_weights(circuit, 0)
    circuit = with_values(circuit, values)
    by_shape = {values[w].shape: values[w] for w in values}
    emission, transition, start = by_shape[3, 4], by_shape[3, 3], by_shape[1, 3]
    x = np.random.default_rng(0).integers(0, 4, (20, 6))
    want: list[float] = []
    for row in x:
        state = start[0] * emission[:, row[0]]
        for symbol in row[1:]:
            state = (state @ transition) * emission[:, symbol]
        want.append(math.log(state.sum()))
    np.testing.assert_allclose(values_of(circuit, x), want, rtol=1e-12)


def test_hmm_shares_weights_only_if_homogeneous() -> None:
    assert len(hmm(10, 3).weights) == 3
    assert len(hmm(10, 3, homogeneous=False).weights) == 10 + 9 + 1
    with pytest.raises(pc.PCCompilerError, match="PC302"):
        hmm([categorical("a", 3), categorical("b", 4)], 2)


def test_long_hmm_needs_no_recursion() -> None:
    circuit = hmm(1500, 2)
    assert findings(circuit) == ()
    assert circuit.statistics.depth == 1500 * 2 - 1


def test_mixture_equals_its_formula() -> None:
    circuit = naive_bayes_mixture([categorical("a", 3), categorical("b", 2)], 4)
    values = random_weights(circuit, 0)
    circuit = with_values(circuit, values)
    a, b, top = (values[i] for i in range(3))
    x = np.array([[i, j] for i in range(3) for j in range(2)])
    want = [math.log(sum(top[0] * a[:, i] * b[:, j])) for i, j in x]
    np.testing.assert_allclose(values_of(circuit, x), want, rtol=1e-12)
