"""Queries against their definition: sums over all worlds, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import pccompiler as pc
from pccompiler.errors import DataError, OptionError, PCCompilerError
from pccompiler.ir import Builder, Circuit, Family, Hypernetwork, Variable, binary, count, real
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.testing import random_circuit, random_weights, with_values, worlds
from pccompiler.testing.families import FAMILIES, family_mixture
from pccompiler.testing.strategies import DISCRETE, circuits

Float = NDArray[np.float64]
FINITE = (*DISCRETE, Family.BINOMIAL)


class Joint:
    """The table of all worlds of a model: the definition of every discrete query."""

    def __init__(self, model: pc.CompiledCircuit) -> None:
        self.variables = model.circuit.variables
        self.worlds = worlds(model.circuit)
        weights = materialize(model.plan, model.weights.layout, model.parameters_as_numpy())
        self.mass = np.exp(log_likelihood(model.plan, weights, self.worlds))

    def fits(self, row: Float) -> NDArray[np.bool_]:
        """The worlds that a row with missing values allows."""
        fits: NDArray[np.bool_] = np.all(np.isnan(row) | (self.worlds == row), axis=1)
        return fits

    def of(self, row: Float) -> float:
        """The total mass of the worlds that a row allows."""
        return float(self.mass[self.fits(row)].sum())


def evidence_rows(circuit: Circuit, seed: int, number: int) -> Float:
    """Random rows in which about half of the values are missing."""
    rng = np.random.default_rng(seed)
    states = np.array([v.cardinality for v in circuit.variables])
    rows: Float = np.floor(rng.random((number, len(states))) * states)
    rows[rng.random(rows.shape) < 0.5] = np.nan
    return rows


def compiled(circuit: Circuit, numerics: pc.api.Numerics = "auto") -> pc.CompiledCircuit:
    return pc.compile(circuit, dtype="float64", numerics=numerics)


CASES = given(circuits(families=FINITE), st.integers(0, 1000))


@settings(max_examples=40)
@CASES
def test_marginals_conditionals_and_the_partition(circuit: Circuit, seed: int) -> None:
    model = compiled(circuit)
    joint, rows = Joint(model), evidence_rows(circuit, seed, 6)
    wanted = np.array([joint.of(row) for row in rows])
    got = model.log_marginal(rows).exp().detach().cpu().numpy()
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-300)
    assert float(model.log_partition()) == pytest.approx(math.log(joint.mass.sum()), abs=1e-10)
    query = np.where(np.random.default_rng(seed).random(rows.shape) < 0.5, np.nan, rows)
    got = model.log_conditional(rows, query).exp().detach().cpu().numpy()
    for value, row, known in zip(got, rows, query, strict=True):
        if joint.of(known) > 0.0:
            assert value == pytest.approx(joint.of(row) / joint.of(known), rel=1e-10, abs=1e-300)
        else:
            assert math.isnan(value)
    first = model.log_marginal(rows, [0]).exp().detach().cpu().numpy()
    alone = np.full_like(rows, np.nan)
    alone[:, 0] = rows[:, 0]
    np.testing.assert_allclose(first, [joint.of(row) for row in alone], rtol=1e-10, atol=1e-300)


@settings(max_examples=60)
@CASES
def test_posterior_marginals(circuit: Circuit, seed: int) -> None:
    model = compiled(circuit)
    joint, rows = Joint(model), evidence_rows(circuit, seed, 5)
    found = model.posterior_marginals(rows)
    for i, row in enumerate(rows):
        mass = joint.mass * joint.fits(row)
        if mass.sum() == 0.0:
            assert found.states[i].isnan().all()
            assert found.mean[i].isnan().all()
            continue
        mass /= mass.sum()
        for v, variable in enumerate(circuit.variables):
            states = joint.worlds[:, v]
            exact = np.array([mass[states == s].sum() for s in range(variable.cardinality)])
            got = found.states[i, v].cpu().numpy()
            np.testing.assert_allclose(got[: len(exact)], exact, atol=1e-10)
            assert not got[len(exact) :].any()
            mean = float(mass @ states)
            assert float(found.mean[i, v]) == pytest.approx(mean, abs=1e-9)
            spread = float(mass @ (states - mean) ** 2)
            assert float(found.variance[i, v]) == pytest.approx(spread, abs=1e-8)


@pytest.mark.parametrize("numerics", ["auto", "log"])
def test_twelve_variables_direct_and_generated(numerics: pc.api.Numerics) -> None:
    circuit = pc.rat_spn(12, 3, 2, seed=1)
    for hyper in (None, Hypernetwork()):
        model = pc.compile(circuit, hyper, dtype="float64", numerics=numerics)
        joint, rows = Joint(model), evidence_rows(circuit, 0, 20)
        found = model.posterior_marginals(rows)
        for i, row in enumerate(rows):
            mass = joint.mass * joint.fits(row)
            exact = (mass / mass.sum()) @ joint.worlds
            np.testing.assert_allclose(found.mean[i].cpu(), exact, atol=1e-10)


def deterministic(seed: int, variables: int = 5) -> Circuit:
    """Chains of decisions: each sum's operands disagree on one variable."""
    rng = np.random.default_rng(seed)
    b = Builder([binary(f"x{i}") for i in range(variables)])
    indicators = [b.indicator(i) for i in range(variables)]
    below: list[int] = []
    for i in reversed(range(variables)):
        made = []
        for state in range(2):
            here = b.sum([indicators[i]], weights=np.eye(2)[[state]])
            if not below:
                made.append(here)
                continue
            share = rng.dirichlet([1.0, 1.0])[None]
            made.append(b.product([here, b.sum(below, weights=share)]))
        below = made
    return b.build(b.sum(below, weights=rng.dirichlet([1.0, 1.0])[None]))


@pytest.mark.parametrize("seed", range(8))
def test_mpe_is_exact_on_deterministic_circuits(seed: int) -> None:
    model = compiled(deterministic(seed))
    joint, rows = Joint(model), evidence_rows(model.circuit, seed, 8)
    found = model.mpe(rows)
    assert found.exact
    best = [(joint.mass * joint.fits(row)).max() for row in rows]
    np.testing.assert_allclose(found.log_value.exp().cpu().numpy(), best, rtol=1e-10)
    assert all(
        joint.fits(row)[_where(joint, done)] for row, done in zip(rows, found.rows, strict=True)
    )


def _where(joint: Joint, row: torch.Tensor) -> int:
    return int(np.flatnonzero((joint.worlds == row.cpu().numpy()).all(1))[0])


@settings(max_examples=40)
@CASES
def test_mpe_is_the_best_induced_tree(circuit: Circuit, seed: int) -> None:
    model = compiled(circuit)
    joint, rows = Joint(model), evidence_rows(circuit, seed, 4)
    rows = rows[[joint.of(row) > 0.0 for row in rows]]
    assume(len(rows) > 0)
    found = model.mpe(rows)
    for row, done, value in zip(rows, found.rows, found.log_value, strict=True):
        mass = float(joint.mass[_where(joint, done)])
        assert joint.fits(row)[_where(joint, done)]
        assert float(value.exp()) == pytest.approx(mass, rel=1e-10)
        assert mass > 0.0
        if found.exact:
            assert mass == pytest.approx(float((joint.mass * joint.fits(row)).max()), rel=1e-10)


def chi_square(counts: NDArray[np.int64], expected: Float) -> float:
    """Standard scores of the chi-square statistic (Wilson and Hilferty); small cells pooled."""
    small = expected < 10.0
    assert not counts[expected == 0.0].any()
    cells = np.append(counts[~small], counts[small].sum())
    wanted = np.append(expected[~small], expected[small].sum())
    cells, wanted = cells[wanted > 0], wanted[wanted > 0]
    degrees = max(len(cells) - 1, 1)
    statistic = float(((cells - wanted) ** 2 / wanted).sum())
    spread = 2.0 / (9.0 * degrees)
    root = (statistic / degrees) ** (1.0 / 3.0)
    return float((root - (1.0 - spread)) / math.sqrt(spread))


def tally(joint: Joint, rows: Float) -> NDArray[np.int64]:
    places = {tuple(world): i for i, world in enumerate(joint.worlds.tolist())}
    counts = np.zeros(len(places), np.int64)
    for row in rows.tolist():
        counts[places[tuple(row)]] += 1
    return counts


@pytest.mark.parametrize("seed", range(12))
def test_samples_are_distributed_as_the_circuit(seed: int) -> None:
    circuit = random_circuit(seed, max_variables=5, families=FINITE)
    model = compiled(circuit)
    joint = Joint(model)
    counts = tally(joint, model.sample(20_000, seed=seed).cpu().numpy())
    assert abs(chi_square(counts, joint.mass / joint.mass.sum() * 20_000)) < 4.5


@pytest.mark.parametrize("seed", range(12))
def test_conditional_samples_are_distributed_as_the_conditional(seed: int) -> None:
    circuit = random_circuit(seed, max_variables=5, families=FINITE)
    model = compiled(circuit)
    joint = Joint(model)
    rows = np.concatenate(
        [evidence_rows(circuit, seed, 10), np.full((1, 5), np.nan)[:, : len(circuit.variables)]]
    )
    row = next(row for row in rows if joint.of(row) > 0.0)
    mass = joint.mass * joint.fits(row)
    draws = model.sample_conditional(row[None], 20_000, seed=seed)
    assert draws.shape == (1, 20_000, len(row))
    assert abs(chi_square(tally(joint, draws[0].cpu().numpy()), mass / mass.sum() * 20_000)) < 4.5


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != Family.CATEGORICAL])
def test_moments_of_samples_and_of_every_family(family: Family) -> None:
    circuit = family_mixture(3, [family, Family.CATEGORICAL])
    model = pc.compile(circuit, dtype="float64", seed=3)
    draws = model.sample(40_000, seed=1)
    assert bool(model.log_likelihood(draws[:2000]).isfinite().all())
    known = model.posterior_marginals()
    error = 4.0 * (known.variance[0] / len(draws)).sqrt()
    assert bool(((draws.mean(0) - known.mean[0]).abs() < error).all())
    fourth = ((draws - known.mean[0]) ** 4).mean(0)
    error = 4.0 * (fourth / len(draws)).sqrt()
    assert bool((((draws - known.mean[0]) ** 2).mean(0) - known.variance[0]).abs().lt(error).all())


def test_small_variances_far_from_zero_keep_their_digits() -> None:
    b = Builder([real("g"), count("k"), real("m")])
    mixed = b.gaussian(2, [[3e4, 1.0], [3e4 + 4.0, 2.0], [3e4 - 1.0, 0.5]])
    near = b.sum([mixed], weights=[[0.2, 0.3, 0.5]])
    root = b.product([b.gaussian(0, [[1e4, 1.0]]), b.poisson(1, [1e6]), near])
    found = pc.compile(b.build(root), dtype="float32").posterior_marginals()
    np.testing.assert_allclose(found.mean[0].cpu(), [1e4, 1e6, 3e4 + 0.7], rtol=1e-6)
    np.testing.assert_allclose(found.variance[0].cpu(), [1.0, 1e6, 6.335], rtol=1e-5)


@pytest.mark.parametrize("family", [Family.GAUSSIAN, Family.LAPLACE, Family.HISTOGRAM])
def test_real_posteriors_against_numerical_integration(family: Family) -> None:
    circuit = family_mixture(3, [family, Family.CATEGORICAL])
    model = pc.compile(circuit, dtype="float64", seed=5)
    edges = (
        np.linspace(-40.0, 40.0, 400_001)
        if family != Family.HISTOGRAM
        else np.linspace(-2, 1.5, 350_001)
    )
    middle = 0.5 * (edges[1:] + edges[:-1])
    grid = torch.from_numpy(np.stack([middle, np.full_like(middle, 2.0)], axis=1))
    with torch.no_grad():
        mass = model.log_likelihood(grid).exp().cpu().numpy() * np.diff(edges)
    found = model.posterior_marginals(np.array([[np.nan, 2.0]]))
    mean = (mass @ middle) / mass.sum()
    spread = (mass @ (middle - mean) ** 2) / mass.sum()
    assert float(found.log_evidence.exp()) == pytest.approx(mass.sum(), rel=1e-8)
    assert float(found.mean[0, 0]) == pytest.approx(mean, abs=1e-8)
    assert float(found.variance[0, 0]) == pytest.approx(spread, rel=1e-7)


def test_mpe_of_leaves_over_real_numbers_and_counts() -> None:
    circuit = family_mixture(1)
    gamma = list(FAMILIES).index(Family.GAMMA)  # which has a maximum above a concentration of 1
    values = random_weights(circuit, 4)
    values[gamma] = np.array([[2.5, 1.5]])
    model = pc.compile(with_values(circuit, values), dtype="float64")
    best = model.mpe()
    rng = np.random.default_rng(0)
    for column, (family, variable) in enumerate(FAMILIES.items()):
        others = best.rows.repeat(200, 1)
        shifts = rng.normal(size=200) if variable.domain == "real" else rng.integers(0, 2, 200)
        if variable.domain == "count":
            shifts = rng.integers(0, 12, 200)
        others[:, column] = torch.from_numpy(np.abs(shifts) if family == Family.GAMMA else shifts)
        assert bool((model.log_likelihood(others) <= best.log_value + 1e-12).all())


def test_observed_leaves_need_no_mode() -> None:
    """The density of a gamma distribution with a concentration below 1 has no maximum."""
    b = Builder([real("g"), real("h"), binary("y")])
    parts = [b.gamma(0, [[0.5, 1.0]]), b.gamma(1, [[3.0, 2.0]]), b.bernoulli(2, [0.3])]
    model = pc.compile(b.build(b.product(parts)), dtype="float64")
    rows = np.array([[2.0, math.nan, math.nan], [3.0, 4.0, math.nan], [0.5, math.nan, 1.0]])
    best = model.mpe(rows)
    want = np.array([[2.0, 1.0, 0.0], [3.0, 4.0, 0.0], [0.5, 1.0, 1.0]])
    np.testing.assert_allclose(best.rows.cpu().numpy(), want)
    torch.testing.assert_close(best.log_value, model.log_likelihood(best.rows).detach())
    exact = model.map(rows[1:2])
    assert exact.rows[0, 0].tolist() == [3.0, 4.0, 0.0]
    with pytest.raises(PCCompilerError, match="no maximum"):
        model.mpe(np.full((1, 3), math.nan))


def test_classes_by_bayes_rule() -> None:
    circuit = random_circuit(3, max_variables=4, families=FINITE)
    model = compiled(circuit)
    joint, rows = Joint(model), evidence_rows(circuit, 1, 8)
    name = circuit.variables[-1].name
    found = model.classify(rows, name)
    for i, row in enumerate(rows):
        row[-1] = np.nan
        mass = joint.mass * joint.fits(row)
        if mass.sum() == 0.0:
            continue
        states = range(circuit.variables[-1].cardinality)
        exact = np.array([mass[joint.worlds[:, -1] == s].sum() for s in states]) / mass.sum()
        np.testing.assert_allclose(found.log_probability[i].exp().detach().cpu(), exact, atol=1e-10)
    assert found.log_probability.requires_grad


def test_the_k_best_of_many_draws() -> None:
    model = compiled(deterministic(0))
    joint = Joint(model)
    found = model.top_k_samples(3, draws=5000, seed=0)
    order = np.argsort(-joint.mass)[:3]
    np.testing.assert_array_equal(found.rows.cpu(), joint.worlds[order])
    np.testing.assert_allclose(found.log_value.exp().cpu(), joint.mass[order])
    given_ = model.top_k_samples(2, evidence={"x0": 1}, draws=2000, seed=0)
    assert bool((given_.rows[:, 0] == 1).all())


def test_seeds_repeat_draws_and_chunks_do_not_change_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = compiled(pc.rat_spn(10, 3, 4))
    torch.testing.assert_close(model.sample(50, seed=3), model.sample(50, seed=3))
    assert not torch.equal(model.sample(50), model.sample(50))
    rows = evidence_rows(model.circuit, 0, 40)
    whole = model.posterior_marginals(rows), model.mpe(rows)
    monkeypatch.setattr("pccompiler.torch_backend.queries.evidence._THREAD_BYTES", 50_000)
    monkeypatch.setattr("pccompiler.torch_backend.queries.evidence._SHARE", 10**6)
    parts = model.posterior_marginals(rows), model.mpe(rows)
    torch.testing.assert_close(whole[0].states, parts[0].states)
    torch.testing.assert_close(whole[1].rows, parts[1].rows)
    assert model.sample(0).shape == (0, 10)
    assert model.sample_conditional(rows[:0], 3).shape == (0, 3, 10)
    assert model.mpe(rows[:0]).rows.shape == (0, 10)
    assert model.posterior_marginals(rows[:0]).mean.shape == (0, 10)


@pytest.mark.parametrize("name", ["coins.psdd", "nltcs.psdd"])
def test_packed_circuits_answer_too(name: str, sample: Callable[[str], Path]) -> None:
    from pccompiler import imports

    model = compiled(imports.read(sample(name)))
    joint = Joint(model)
    rows = evidence_rows(model.circuit, 2, 5)
    found, best = model.posterior_marginals(rows), model.mpe(rows)
    assert best.exact
    for i, row in enumerate(rows):
        mass = joint.mass * joint.fits(row)
        np.testing.assert_allclose(
            found.mean[i].cpu(), mass @ joint.worlds / mass.sum(), atol=1e-10
        )
        assert float(best.log_value[i].exp()) == pytest.approx(mass.max(), rel=1e-10)


@CASES
def test_posteriors_of_some_variables_are_those_of_all(circuit: Circuit, seed: int) -> None:
    model = compiled(circuit)
    rows = evidence_rows(circuit, seed, 5)
    columns = np.random.default_rng(seed).permutation(len(circuit.variables))[:2].tolist()
    every, some = (model.posterior_marginals(rows, variables=v) for v in (None, columns))
    most = some.states.shape[2]
    close = partial(torch.testing.assert_close, rtol=1e-12, atol=1e-12, equal_nan=True)
    close(some.states, every.states[:, columns, :most])
    close(some.mean, every.mean[:, columns])
    close(some.variance, every.variance[:, columns])
    close(some.log_evidence, every.log_evidence)


def test_each_of_many_rows_has_its_own_answer() -> None:
    """More rows than draws from one row are made at once."""
    model = pc.compile(pc.rat_spn(6, 2, 3, seed=0))
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 2, (70_000, 6)).astype(np.float32)
    rows[:, ::2] = np.nan
    asked: list[Callable[[NDArray[np.float32]], torch.Tensor]] = [
        lambda x: model.mpe(x).rows,
        lambda x: model.posterior_marginals(x).mean,
    ]
    for ask in asked:
        many = ask(rows)
        torch.testing.assert_close(many[-100:], ask(rows[-100:]))
        torch.testing.assert_close(many[:100], ask(rows[:100]))
    drawn = model.sample_conditional(rows, seed=0)[:, 0].cpu().numpy()
    np.testing.assert_array_equal(drawn[:, 1::2], rows[:, 1::2])


def test_rows_of_several_lengths() -> None:
    """What is missing at the end has no influence: a row is then the start of a longer one."""
    long, short = (pc.compile(pc.hmm(words(n), 3), dtype="float64", seed=0) for n in (7, 4))
    short.load_state_dict(long.state_dict())  # a homogeneous model has the same weights
    rows = torch.from_numpy(np.random.default_rng(0).integers(0, 5, (6, 7)).astype(float))
    rows[:, 4:] = torch.nan
    torch.testing.assert_close(long.log_likelihood(rows), short.log_likelihood(rows[:, :4]))
    following = long.posterior_marginals(rows, variables=["t4"]).states[:, 0]
    for word in range(5):
        rows[:, 4] = word
        joint = long.log_likelihood(rows)
        given = (joint - short.log_likelihood(rows[:, :4])).exp()
        torch.testing.assert_close(following[:, word], given.detach())


def words(length: int) -> list[Variable]:
    return [Variable(f"t{i}", "categorical", 5) for i in range(length)]


def _culprits(model: pc.CompiledCircuit) -> dict[str, Callable[[], object]]:
    return {
        "clash": lambda: model.log_conditional({"x0": 1}, {"x0": 0}),
        "rows": lambda: model.log_conditional(np.zeros((2, 5)), np.zeros((3, 5))),
        "name": lambda: model.posterior_marginals({"x_0": 1}),
        "twice": lambda: model.posterior_marginals(variables=["x0", "x1", 0]),
        "column": lambda: model.log_marginal(np.zeros((1, 5)), [7]),
        "impossible": lambda: model.mpe(np.array([[0.0] * 5, [2.0] * 5])),
        "number": lambda: model.sample(-1),
        "none": lambda: model.sample_conditional({"x0": 1}, 0),
    }


@pytest.mark.parametrize(
    "case", ["clash", "rows", "name", "twice", "column", "impossible", "number", "none"]
)
def test_refusals(case: str, golden: Callable[[str], None]) -> None:
    model = compiled(deterministic(0))
    with pytest.raises(PCCompilerError) as error:
        _culprits(model)[case]()
    golden(str(error.value))


def test_impossible_evidence_is_named() -> None:
    b = Builder([binary("a"), binary("b")])
    leaves = [b.sum([b.indicator(v)], weights=np.array([[0.0, 1.0]])) for v in range(2)]
    model = compiled(b.build(b.product(leaves)))
    rows = np.array([[1.0, np.nan], [0.0, np.nan]])
    for ask in (model.mpe, model.sample_conditional):
        with pytest.raises(DataError, match="row 1 has probability 0"):
            ask(rows)
    assert model.posterior_marginals(rows).mean[1].isnan().all()
    real_class = pc.compile(family_mixture(2, [Family.GAUSSIAN]), dtype="float64")
    with pytest.raises(OptionError, match="cannot be a class"):
        real_class.classify(np.zeros((1, 1)), "gaussian")
    assert real("gaussian") == real_class.circuit.variables[0]


@pytest.mark.gpu
@pytest.mark.parametrize("generated", [False, True])
def test_cuda_answers_as_the_cpu(generated: bool) -> None:
    circuit = pc.rat_spn(21, 6, 5)
    rows = evidence_rows(circuit, 0, 300)
    results = []
    for device in ("cpu", "cuda"):
        net = Hypernetwork() if generated else None
        model = pc.compile(circuit, net, device=device, dtype="float64")
        posterior, best = model.posterior_marginals(rows), model.mpe(rows)
        results.append([*posterior, best.rows, best.log_value])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=1e-10, atol=1e-10)
    draws = model.sample(40_000, seed=0)
    error = 4.5 * (model.posterior_marginals().variance[0] / len(draws)).sqrt()
    mean = model.posterior_marginals().mean[0]
    assert bool(((draws.mean(0) - mean).abs() < error).all())
