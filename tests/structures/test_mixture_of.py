"""Mixtures of given circuits, against the weighted sum of their densities."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import OptionError
from pccompiler.ir import Builder, Circuit, Kind, binary, parse, to_text
from pccompiler.passes import findings
from pccompiler.structures import hmm, mixture_of, naive_bayes_mixture, random_tree, rat_spn
from pccompiler.testing import density, random_weights, total_mass, with_values, worlds
from pccompiler.testing.refusals import refusals

Golden = Callable[[str], None]


def valued(circuit: Circuit, seed: int = 0) -> Circuit:
    return with_values(circuit, random_weights(circuit, seed))


@given(
    weights=st.lists(st.integers(0, 5), min_size=1, max_size=3).filter(any),
    scales=st.lists(st.sampled_from([0.0, -2.0, 1.5]), min_size=3, max_size=3),
    share=st.booleans(),
)
def test_density_is_the_weighted_sum(weights: list[int], scales: list[float], share: bool) -> None:
    parts = [rat_spn(3, 1, 2), hmm(3, 2), naive_bayes_mixture(3, 2)][: len(weights)]
    parts = [
        valued(part, i).replace(log_scale=scale)
        for i, (part, scale) in enumerate(zip(parts, scales, strict=False))
    ]
    given_weights = np.array(weights) / sum(weights)
    mixed = mixture_of(parts, given_weights, share_indicators=share)
    assert findings(mixed) == ()
    for world in worlds(mixed):
        pairs = zip(given_weights.tolist(), parts, strict=True)
        want = math.fsum(weight * density(part, world) for weight, part in pairs)
        assert density(mixed, world) == pytest.approx(want, rel=1e-12)


def test_weights_are_uniform_where_some_are_given() -> None:
    mixed = mixture_of([valued(hmm(2, 2)), valued(hmm(2, 3)), valued(rat_spn(2, 1, 2))])
    values = mixed.weights.values[int(mixed.weight[mixed.root])]
    np.testing.assert_allclose(values, [[1 / 3] * 3])
    assert total_mass(mixed) == pytest.approx(1.0)
    trained = mixture_of([hmm(2, 2), hmm(2, 3)])
    assert not trained.weights.values
    assert mixture_of([hmm(2, 2).replace(log_scale=1.5)] * 2).log_scale == 1.5


def test_indicators_are_shared() -> None:
    parts = [rat_spn(4, 2, 2), random_tree(4, leaf="indicator")]
    assert mixture_of(parts).statistics.kinds["input"] == 4
    apart = mixture_of(parts, share_indicators=False)
    assert apart.statistics.kinds["input"] == 8
    assert findings(apart) == ()
    assert apart.num_nodes == sum(part.num_nodes for part in parts) + 1


def test_many_circuits_and_mixtures_of_mixtures() -> None:
    one = mixture_of([hmm(5, 2, homogeneous=False)] * 50)
    assert int(one.fan_in[one.root]) == 50
    assert one.kind[one.root] == Kind.SUM
    assert findings(mixture_of([one, one])) == ()


def weather(chance: float) -> Circuit:
    builder = Builder([binary("rain")])
    leaf = builder.bernoulli(0, [chance], weight="p", name="leaf")
    return builder.build(builder.sum([leaf], weights=[[1.0]], name="root"))


def test_text(golden: Golden) -> None:
    mixed = mixture_of([weather(0.25), weather(0.5), weather(0.75)], [0.5, 0.25, 0.25])
    text = to_text(mixed)
    assert parse(text) == mixed
    golden(text)


def test_errors(golden: Golden) -> None:
    two = [hmm(2, 2), hmm(2, 3)]
    attempts: list[Callable[[], Circuit]] = [
        lambda: mixture_of([]),
        lambda: mixture_of([hmm(2, 2), hmm(3, 2)]),
        lambda: mixture_of([hmm([binary("a")], 2), hmm([binary("b")], 2)]),
        lambda: mixture_of([two[0], two[1].replace(log_scale=2.0)]),
        lambda: mixture_of(two, [0.5, 0.6]),
        lambda: mixture_of(two, [1.0]),
        lambda: mixture_of(two, [-0.5, 1.5]),
        lambda: mixture_of(two, [np.nan, 1.0]),
    ]
    golden(refusals(attempts, OptionError))
