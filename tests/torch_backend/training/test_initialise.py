"""Initialisation from data: near the data, different for each unit, robust to any column."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.errors import DataError
from pccompiler.ir import (
    Family,
    Hypernetwork,
    real,
)
from pccompiler.testing.families import family_mixture as mixture
from pccompiler.torch_backend import initialise, mean_log_likelihood


def table(number: int = 500) -> np.ndarray:
    rng = np.random.default_rng(0)
    columns = [
        rng.integers(0, 2, number),
        rng.integers(0, 3, number),  # states 3 to 5 are never seen
        rng.normal(1e4, 50, number),
        rng.binomial(5, 0.3, number),
        rng.poisson(40, number),
        rng.laplace(-1e3, 5, number),
        rng.uniform(-2, 1.5, number),
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def leaf_values(model: pc.CompiledCircuit) -> dict[Family, np.ndarray]:
    circuit, values = model.circuit, model.weight_values()
    return {
        circuit.family_of(node): values[int(circuit.weight[node])]
        for node in range(circuit.num_nodes)
        if circuit.family[node] > 0
    }


def test_one_unit_gets_the_fit_of_its_column() -> None:
    model, x = pc.compile(mixture(1), dtype="float64"), table()
    initialise(model, x)
    values = leaf_values(model)
    n = len(x)
    assert values[Family.GAUSSIAN][0] == pytest.approx([x[:, 2].mean(), x[:, 2].std()])
    median = np.median(x[:, 5])
    assert values[Family.LAPLACE][0] == pytest.approx([median, np.abs(x[:, 5] - median).mean()])
    assert values[Family.POISSON][0] == pytest.approx((x[:, 4].sum() + 0.5) / (n + 1))
    assert values[Family.BINOMIAL][0] == pytest.approx((x[:, 3].sum() + 0.5) / (5 * n + 1))
    assert values[Family.BERNOULLI][0] == pytest.approx((x[:, 0].sum() + 0.5) / (n + 1))
    seen = np.bincount(x[:, 1].astype(int), minlength=6)
    assert values[Family.CATEGORICAL][0] == pytest.approx((seen + 1 / 6) / (n + 1))
    bins = np.histogram(x[:, 6], [-2, -0.5, 0.1, 1.5])[0]
    prior = np.array([1.5, 0.6, 1.4]) / 3.5
    assert values[Family.HISTOGRAM][0] == pytest.approx((bins + prior) / (n + 1))


def test_units_start_at_rows_and_differ() -> None:
    model, x = pc.compile(mixture(5), dtype="float64"), table()
    initialise(model, x, seed=3)
    values = leaf_values(model)
    means = values[Family.GAUSSIAN][:, 0]
    rows = [int(np.argmin(np.abs(x[:, 2] - mean))) for mean in means]
    np.testing.assert_allclose(means, x[rows, 2])
    np.testing.assert_allclose(values[Family.LAPLACE][:, 0], x[rows, 5])  # the same rows
    for family, units in values.items():
        assert len(np.unique(units, axis=0)) == 5, family
        assert np.isfinite(units).all()
    other = pc.compile(mixture(5), dtype="float64")
    initialise(other, x, seed=3)
    assert all(np.array_equal(a, leaf_values(other)[f]) for f, a in values.items())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_a_good_start_for_data_far_away(dtype: pc.api.Dtype) -> None:
    x = table()
    plain, started = (pc.compile(mixture(4), dtype=dtype) for _ in range(2))
    initialise(started, x)
    before, after = (mean_log_likelihood(m, m.prepare(x)) for m in (plain, started))
    assert after > before + 1000
    assert after > -25.0  # the six columns' entropies add up to about 18 nats
    pc.fit(started, x, steps=200, batch_size=100, learning_rate=1e-2, evaluate_every=200)
    assert mean_log_likelihood(started, started.prepare(x)) > after


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("components", [1, 3])
def test_degenerate_columns_give_usable_parameters(components: int, dtype: pc.api.Dtype) -> None:
    ones = np.tile([1.0, 2.0, 5e5, 0.0, 0.0, -3.0, 0.0], (20, 1))
    tables = {
        "one value": ones,
        "all missing": np.full((20, 7), np.nan),
        "one row": ones[:1],
        "outside the edges": np.where(np.arange(7) == 6, 9.0, ones),
        "nearly all missing": np.where(np.arange(20)[:, None] == 4, ones, np.nan),
    }
    for name, x in tables.items():
        model = pc.compile(mixture(components), dtype=dtype)
        initialise(model, x)
        for parameter in model.parameters():
            assert bool(parameter.isfinite().all()), name
        other = np.array([[0.0, 3.0, 5.1e5, 3.0, 4.0, 2.0, 1.4]])
        value = model.log_likelihood(np.concatenate([other, ones]))
        assert bool(value.isfinite().all()), name
        value.sum().backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            assert bool(parameter.grad.isfinite().all()), name


def test_sums_over_indicators_count_as_leaves() -> None:
    x = np.random.default_rng(0).random((2000, 8)) < np.linspace(0.05, 0.95, 8)
    model = pc.compile(pc.rat_spn(8, 3, 4), dtype="float64")
    before = mean_log_likelihood(model, model.prepare(x.astype(float)))
    initialise(model, x.astype(float))
    assert mean_log_likelihood(model, model.prepare(x.astype(float))) > before + 0.5


def test_shared_weights_see_all_their_columns() -> None:
    model = pc.compile(pc.hmm(4, 1, leaf="categorical"), dtype="float64")
    x = np.array([[0, 0, 0, 1], [0, 1, np.nan, np.nan]])
    initialise(model, x)
    leaf = leaf_values(model)[Family.CATEGORICAL]
    assert leaf[0] == pytest.approx([4.5 / 7, 2.5 / 7])


def test_a_hypernetwork_keeps_its_sums() -> None:
    circuit = pc.rat_spn([real(f"x{i}") for i in range(6)], 3, 3)
    model = pc.compile(circuit, Hypernetwork())
    before = {n: p.detach().clone() for n, p in model.weights.values.items()}
    initialise(model, np.random.default_rng(0).normal(7, 2, (100, 6)))
    for name, parameter in model.weights.values.items():
        assert torch.equal(before[name], parameter) != name.startswith("leaf_"), name


def test_data_are_checked() -> None:
    with pytest.raises(DataError, match="have no rows"):
        initialise(pc.compile(mixture(1)), np.zeros((0, 7)))
    with pytest.raises(DataError, match="not a value of variable 'poisson'"):
        initialise(pc.compile(mixture(1)), [[0, 0, 0.0, 0, 1.5, 0, math.nan]])


def test_a_seed_gives_the_same_parameters_in_every_version() -> None:
    """Published figures name a seed, so the numbers and their order are fixed."""
    direct = pc.compile(pc.rat_spn(16, 50, 5, seed=0), seed=0).weights.values
    first = {name: round(float(p.detach().flatten()[0]), 6) for name, p in direct.items()}
    assert first == {
        "logits_mixture_1x50": 0.970053,
        "logits_sum_1x5": 0.762997,
        "logits_sum_5x2": 0.62566,
        "logits_sum_5x5": 0.462807,
    }
    network = pc.compile(pc.rat_spn(16, 50, 5, seed=0), pc.Hypernetwork(), seed=0).weights.values
    assert round(float(network["hidden_0_weight"].detach()[0, 0]), 6) == 0.034277
