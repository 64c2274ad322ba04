"""Expectation maximisation against enumeration: monotone, robust; and its refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.distributions import NegativeBinomial

import pccompiler as pc
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import (
    Builder,
    Circuit,
    Family,
    Hypernetwork,
    binary,
    count,
    real,
)
from pccompiler.testing import density, random_circuit
from pccompiler.testing.families import PARAMETRIC
from pccompiler.testing.families import family_mixture as mixture
from pccompiler.testing.strategies import circuits, rows
from pccompiler.torch_backend import fit_em, initialise, mean_log_likelihood
from pccompiler.torch_backend.leaves.registry import leaf_of


def possible(circuit: Circuit, x: np.ndarray) -> np.ndarray:
    """The rows that have a positive density."""
    model = pc.compile(circuit, dtype="float64")
    with torch.no_grad():
        found: np.ndarray = x[model.log_likelihood(x).isfinite().cpu().numpy()]
    return found


@settings(max_examples=30)
@given(circuits(max_variables=4, families=tuple(Family)), st.integers(0, 100), st.booleans())
def test_no_iteration_lowers_the_likelihood(circuit: Circuit, seed: int, hidden: bool) -> None:
    x = possible(circuit, rows(circuit, seed, 30, missing=0.3 if hidden else 0.0))
    assume(len(x) > 0)
    model = pc.compile(circuit, dtype="float64")
    history = fit_em(model, x, iterations=5, pseudocount=0.0)
    values = np.array([e.train for e in history.evaluations])
    assert np.diff(values).min() > -1e-9 * (1 + np.abs(values).max())


@pytest.mark.parametrize("numerics", ["auto", "log"])
@pytest.mark.parametrize("leaf", ["auto", "bernoulli"])
def test_deep_circuits_with_a_floor_climb(leaf: str, numerics: pc.api.Numerics) -> None:
    x = np.random.default_rng(0).integers(0, 2, (300, 5))
    x = np.concatenate([x, x ^ (np.random.default_rng(1).random(x.shape) < 0.2)], axis=1)
    for dtype, slack in (("float64", 1e-9), ("float32", 2e-5)):
        model = pc.compile(pc.rat_spn(10, 3, 3, leaf=leaf), dtype=dtype, numerics=numerics)  # type: ignore[call-overload]
        history = fit_em(model, x, iterations=12, pseudocount=0.0)
        values = [e.train for e in history.evaluations]
        assert np.diff(values).min() > -slack
        assert values[-1] > values[0] + 0.5


def test_a_mixture_of_gaussians_is_found() -> None:
    rng = np.random.default_rng(0)
    weights, means, deviations = [0.2, 0.5, 0.3], [-1e3, 20.0, 1e3], [50.0, 100.0, 10.0]
    part = rng.choice(3, 6000, p=weights)
    x = rng.normal(np.array(means)[part, None], np.array(deviations)[part, None], (6000, 2))
    model = pc.compile(pc.naive_bayes_mixture([real("a"), real("b")], 3))
    initialise(model, x, seed=1)
    fit_em(model, x, iterations=30)
    values = model.weight_values()
    leaf = values[int(model.circuit.weight[0])]
    order = np.argsort(leaf[:, 0])
    root = values[int(model.circuit.weight[model.circuit.root])][0]
    np.testing.assert_allclose(root[order], weights, atol=0.03)  # sampling error: 0.006
    np.testing.assert_allclose(leaf[order, 0], means, atol=8.0)  # 100 / sqrt(3000) = 2
    np.testing.assert_allclose(leaf[order, 1], deviations, rtol=0.08)


def test_small_steps_of_mini_batches_come_as_far() -> None:
    rng = np.random.default_rng(1)
    part = rng.integers(0, 3, 3000)
    x = np.stack([rng.poisson(5 + 20 * part), rng.laplace(4.0 * part), part > 0], axis=1)
    ends: list[float] = []
    for options in ({}, {"batch_size": 200, "step_size": 0.2}):
        b = Builder([count("k"), real("l"), binary("b")])
        families = (Family.POISSON, Family.LAPLACE, Family.BERNOULLI)
        nodes = [int(b.inputs([v], f, 3)[0]) for v, f in enumerate(families)]
        model = pc.compile(b.build(b.sum([b.product(nodes)], 1)))
        initialise(model, x, seed=2)
        fit_em(model, x, iterations=12, **options)  # type: ignore[arg-type]  # numbers
        ends.append(mean_log_likelihood(model, model.prepare(x)))
    assert ends[1] == pytest.approx(ends[0], abs=0.02)


@pytest.mark.parametrize("family", [Family.GAMMA, Family.NEGATIVE_BINOMIAL])
def test_small_batches_do_not_diverge(family: Family) -> None:
    """Parts of parameters do not add up as parts of statistics do."""
    rng = np.random.default_rng(0)
    if family == Family.GAMMA:
        variables = [real("a"), real("b")]
        x = np.concatenate([rng.gamma(2, 1, (200, 2)), rng.gamma(50, 0.2, (200, 2))])
    else:
        variables = [count("a"), count("b")]
        x = np.concatenate([rng.poisson(2, (200, 2)), rng.negative_binomial(3, 0.1, (200, 2))])
    b = Builder(variables)
    circuit = b.build(b.sum([b.product([int(b.inputs([v], family, 4)[0]) for v in (0, 1)])], 1))
    ends: list[float] = []
    for options in ({}, {"batch_size": 5, "step_size": 0.1}):
        model = pc.compile(circuit, dtype="float64", seed=3)
        initialise(model, x, seed=0)
        fit_em(model, x, iterations=15, **options)  # type: ignore[arg-type]  # numbers
        ends.append(mean_log_likelihood(model, model.prepare(x)))
    assert ends[1] > ends[0] - 0.2


@pytest.mark.parametrize(
    ("family", "table"),
    [(Family.GAMMA, [[3.0, 0.5], [40.0, 9.0]]), (Family.NEGATIVE_BINOMIAL, [[3.0, 0.2], [9, 0.6]])],
)
def test_a_blend_has_the_statistics_of_a_mixture(family: Family, table: list[list[float]]) -> None:
    old, new = torch.tensor(table, dtype=torch.float64).unsqueeze(1)
    leaf = leaf_of(family.keyword)
    blend = leaf.blend(old, new, torch.full((1, 1), 0.3, dtype=torch.float64))
    found = [_statistics(family, row) for row in (old, new, blend)]
    torch.testing.assert_close(found[2], torch.lerp(found[0], found[1], 0.3))
    for part, same in ((0.0, old), (1.0, new)):
        assert leaf.blend(old, new, torch.full((1, 1), part, dtype=torch.float64)).equal(same)


def _statistics(family: Family, row: torch.Tensor) -> torch.Tensor:
    """The sufficient statistics of a gamma; mean and mean square of a negative binomial."""
    size, other = row.unbind(-1)
    if family == Family.GAMMA:
        return torch.stack([size / other, torch.digamma(size) - other.log()])
    counts = NegativeBinomial(size, probs=1.0 - other)
    return torch.stack([counts.mean, counts.variance + counts.mean.square()])


@pytest.mark.parametrize("pseudocount", [0.0, 0.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_degenerate_columns_never_give_nan(pseudocount: float, dtype: pc.api.Dtype) -> None:
    ones = np.tile([1.0, 2.0, 5e5, 0.0, 0.0, -3.0, 0.0, 2.0, 0.0, 0.0], (20, 1))
    tables = {
        "one value": ones,
        "all missing": np.full((20, 10), np.nan),
        "one row": ones[:1],
        "nearly all missing": np.where(np.arange(20)[:, None] == 4, ones, np.nan),
    }
    for name, x in tables.items():
        for start in (True, False):
            model = pc.compile(mixture(3), dtype=dtype)
            if start:
                initialise(model, x)
            fit_em(model, x, iterations=4, pseudocount=pseudocount)
            for table in model.weight_values().values():
                assert np.isfinite(table).all(), name
            assert bool(model.log_likelihood(x).isfinite().all()), name
            if pseudocount > 0:
                other = [[0.0, 3.0, 5.1e5, 3.0, 4.0, 2.0, 1.4, 0.1, 3.0, 4.0]]
                assert bool(model.log_likelihood(other).isfinite().all()), name


def test_a_pseudocount_is_rows_seen_beforehand() -> None:
    circuit = mixture(1, (Family.CATEGORICAL, Family.GAUSSIAN))
    model = pc.compile(circuit, dtype="float64")
    x = np.array([[0.0, 1.0], [0.0, 3.0], [1.0, 8.0]])
    fit_em(model, x, iterations=1, pseudocount=2.0)
    values = model.weight_values()
    assert values[0][0] == pytest.approx([7 / 15, 4 / 15, 1 / 15, 1 / 15, 1 / 15, 1 / 15])
    assert values[1][0] == pytest.approx([4.0, np.sqrt((26.0 + 2 * 0.01 * 26 / 3) / 5)])


def test_columns_of_many_values_take_quantiles(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).laplace(3.0, 2.0, (5000, 1))
    monkeypatch.setattr("pccompiler.torch_backend.leaves.fitting.cells.MOST_CELLS", 200)
    model = pc.compile(mixture(1, (Family.LAPLACE,)), dtype="float64")
    fit_em(model, x, iterations=1, pseudocount=0.0)
    median = np.median(x)
    assert model.weight_values()[0][0] == pytest.approx(
        [median, np.abs(x - median).mean()], rel=1e-2
    )


def test_the_best_on_validation_stay() -> None:
    x = np.random.default_rng(0).integers(0, 2, (60, 8))
    model = pc.compile(pc.rat_spn(8, 4, 4))
    history = fit_em(model, x[:30], x[30:], iterations=200, patience=3, pseudocount=0.01)
    assert history.stopped_early
    assert history.evaluations[-1].step == history.best_step + 3
    assert mean_log_likelihood(model, model.prepare(x[30:])) == history.best_valid


def test_same_seed_same_model() -> None:
    x = np.random.default_rng(0).integers(0, 2, (200, 6))
    runs: list[list[float]] = []
    for seed in (0, 0, 1):
        model = pc.compile(pc.rat_spn(6, 3, 3))
        history = fit_em(model, x, iterations=3, batch_size=50, step_size=0.5, seed=seed)
        runs.append([e.train for e in history.evaluations])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_training_by_gradient_goes_on_from_there() -> None:
    x = np.random.default_rng(0).integers(0, 2, (300, 6))
    x[:, 3:] = x[:, :3]
    model = pc.compile(pc.rat_spn(6, 3, 3))
    fit_em(model, x, iterations=3, pseudocount=0.0)
    reached = mean_log_likelihood(model, model.prepare(x))
    pc.fit(model, x, steps=50, batch_size=100, evaluate_every=50, learning_rate=1e-2)
    assert mean_log_likelihood(model, model.prepare(x)) > reached


def test_a_scaled_circuit_reports_scaled_values() -> None:
    circuit = mixture(2, (Family.GAUSSIAN,))
    x = rows(circuit, 0, 20, 0.0)
    plain = fit_em(pc.compile(circuit), x, iterations=2)
    scaled = fit_em(pc.compile(circuit.replace(log_scale=2.0)), x, iterations=2)
    for a, b in zip(plain.evaluations, scaled.evaluations, strict=True):
        assert b.train == pytest.approx(a.train + 2.0, rel=1e-6)


def test_a_hypernetwork_is_refused() -> None:
    model = pc.compile(pc.rat_spn(6, 2, 2), Hypernetwork())
    with pytest.raises(OptionError, match=r"PC360(.|\n)*by gradient: pccompiler.fit"):
        fit_em(model, np.zeros((3, 6)))


@pytest.mark.parametrize(
    "options",
    [
        {"iterations": 0},
        {"batch_size": 0},
        {"patience": 0},
        {"step_size": 0.0},
        {"step_size": 1.5},
        {"pseudocount": -1.0},
    ],
)
def test_options_that_cannot_be_used(options: dict[str, float]) -> None:
    with pytest.raises(OptionError, match="PC302"):
        fit_em(pc.compile(pc.rat_spn(4, 2, 2)), np.zeros((3, 4)), **options)  # type: ignore[arg-type]


def test_an_impossible_row_is_named() -> None:
    b = Builder([binary("x")])
    circuit = b.build(b.sum([b.bernoulli(0, [1.0]), b.bernoulli(0, [1.0])], weights=[0.5, 0.5]))
    assert density(circuit, [0]) == 0.0
    model = pc.compile(circuit)
    before = {w: v.copy() for w, v in model.weight_values().items()}
    with pytest.raises(DataError, match="row 1 has no finite log-likelihood at step 0"):
        fit_em(model, [[1], [0]])
    assert all(np.array_equal(before[w], v) for w, v in model.weight_values().items())


def test_random_circuits_learn_in_float32() -> None:
    for seed in range(10):
        circuit = random_circuit(seed, 4, families=PARAMETRIC, values=False)
        model = pc.compile(circuit)
        x = possible(model.circuit.replace(generator=None), rows(circuit, seed, 30, 0.2))
        if len(x) == 0:
            continue
        history = fit_em(model, x, iterations=5, pseudocount=0.0)
        values = np.array([e.train for e in history.evaluations])
        assert np.diff(values).min() > -1e-4 * (1 + np.abs(values).max())
