"""Soft evidence against its definition: a sum over all worlds, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

import pccompiler as pc
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Builder, Circuit, Family, Hypernetwork, Variable, binary, real
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.testing import worlds
from pccompiler.testing.families import family_mixture
from pccompiler.testing.refusals import refusals
from pccompiler.testing.strategies import DISCRETE, circuits
from pccompiler.torch_backend.engines.questions import Wanted

Float = NDArray[np.float64]
FINITE = (*DISCRETE, Family.BINOMIAL)
CASES = given(circuits(families=FINITE), st.integers(0, 1000))
ROWS = 5


class Case:
    """A circuit, rows of hard evidence, and likelihoods of about half of its variables."""

    def __init__(self, circuit: Circuit, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.model = pc.compile(circuit, dtype="float64")
        self.variables = circuit.variables
        states = np.array([v.cardinality for v in self.variables])
        self.rows: Float = np.floor(rng.random((ROWS, len(states))) * states)
        self.rows[rng.random(self.rows.shape) < 0.6] = np.nan
        chosen = np.flatnonzero(rng.random(len(states)) < 0.6).tolist() or [0]
        self.soft: dict[str, Float] = {}
        for column in chosen:
            logs = rng.normal(0.0, 3.0, (ROWS, states[column]))
            logs[rng.random(logs.shape) < 0.2] = -np.inf
            self.soft[self.variables[column].name] = logs
        self.worlds = worlds(circuit)
        weights = materialize(self.model.plan, self.model.weights.layout, self._parameters())
        self.mass = np.exp(log_likelihood(self.model.plan, weights, self.worlds))

    def _parameters(self) -> dict[str, NDArray[np.floating]]:
        return self.model.parameters_as_numpy()

    def joint(self, row: int) -> Float:
        """The mass of each world times the likelihoods of its states, given a row."""
        known = self.rows[row]
        found: Float = self.mass * np.all(np.isnan(known) | (self.worlds == known), axis=1)
        for column, variable in enumerate(self.variables):
            if variable.name in self.soft:
                logs = self.soft[variable.name][row]
                found = found * np.exp(logs)[self.worlds[:, column].astype(int)]
        return found

    @property
    def totals(self) -> Float:
        return np.array([self.joint(row).sum() for row in range(ROWS)], np.float64)


@settings(max_examples=12)
@CASES
def test_the_sum_over_states_times_their_likelihoods(circuit: Circuit, seed: int) -> None:
    case = Case(circuit, seed)
    for with_gradient in (False, True):
        with torch.set_grad_enabled(with_gradient):
            found = case.model.log_likelihood(case.rows, soft=case.soft)
        np.testing.assert_allclose(found.detach().exp().cpu(), case.totals, rtol=1e-9, atol=1e-300)


@settings(max_examples=12)
@CASES
def test_posteriors_classes_and_conditionals(circuit: Circuit, seed: int) -> None:
    case = Case(circuit, seed)
    assume(bool((case.totals > 1e-200).all()))
    posterior = case.model.posterior_marginals(case.rows, soft=case.soft)
    np.testing.assert_allclose(posterior.log_evidence.exp().cpu(), case.totals, rtol=1e-9)
    name = case.variables[0].name
    classes = case.model.classify(case.rows, name, soft=case.soft).log_probability.detach().cpu()
    blank = case.rows.copy()
    blank[:, 1:] = np.nan
    conditional = case.model.log_conditional(blank, {}, soft=case.soft).detach().cpu()
    only, everything = Case(circuit, seed), np.full_like(case.rows, np.nan)
    only.rows = everything
    for row in range(ROWS):
        joint = case.joint(row) / case.totals[row]
        for column, variable in enumerate(case.variables):
            shares = [joint[case.worlds[:, column] == s].sum() for s in range(variable.cardinality)]
            found = posterior.states[row, column].cpu()
            np.testing.assert_allclose(found[: len(shares)], shares, rtol=1e-8, atol=1e-12)
            mean = np.dot(np.arange(len(shares)), shares)
            assert float(posterior.mean[row, column]) == pytest.approx(mean, abs=1e-9)
        if np.isnan(case.rows[row, 0]):
            shares = [joint[case.worlds[:, 0] == s].sum() for s in range(len(classes[row]))]
            np.testing.assert_allclose(classes[row].exp(), shares, rtol=1e-8, atol=1e-12)
        else:
            alone = only.joint(row)
            share = alone[case.worlds[:, 0] == case.rows[row, 0]].sum() / alone.sum()
            np.testing.assert_allclose(conditional[row].exp(), share, rtol=1e-8, atol=1e-12)


@settings(max_examples=12)
@CASES
def test_most_probable_completions_weigh_states(circuit: Circuit, seed: int) -> None:
    case = Case(circuit, seed)
    assume(bool((case.totals > 1e-200).all()))
    found = case.model.mpe(case.rows, soft=case.soft)
    for row in range(ROWS):
        joint = case.joint(row)
        (place,) = np.flatnonzero((case.worlds == found.rows[row].cpu().numpy()).all(1))
        assert float(found.log_value[row]) == pytest.approx(math.log(joint[place]), abs=1e-8)
        if found.exact:
            assert joint[place] == pytest.approx(joint.max(), rel=1e-9)


def test_draws_follow_the_posterior() -> None:
    variables = [Variable("a", "categorical", 3), binary("b")]
    model = pc.compile(pc.naive_bayes_mixture(variables, 2), seed=1, dtype="float64")
    soft = {"a": torch.tensor([[0.0, 1.0, -1.0], [2.0, -math.inf, 0.0]])}
    draws = model.sample_conditional({}, 20_000, seed=0, soft=soft)
    assert draws.shape == (2, 20_000, 2)
    want = model.posterior_marginals({}, soft=soft).states
    for column in range(2):
        shares = torch.nn.functional.one_hot(draws[..., column].long(), 3).double().mean(1)
        torch.testing.assert_close(shares, want[:, column], atol=0.015, rtol=0.0)


@pytest.mark.parametrize("generator", [None, Hypernetwork(embedding=3, hidden=(5,))])
def test_gradients_equal_finite_differences(generator: Hypernetwork | None) -> None:
    circuit = family_mixture(2, [Family.CATEGORICAL, Family.BERNOULLI, Family.BINOMIAL])
    model = pc.compile(circuit, generator, dtype="float64", seed=0)
    names = [v.name for v in circuit.variables]
    states = [v.cardinality for v in circuit.variables]
    rng = torch.Generator(torch.get_default_device()).manual_seed(0)
    logs = [torch.randn(3, n, generator=rng, dtype=torch.float64) for n in states]

    def value(*given: Tensor) -> Tensor:
        return model.log_likelihood({}, soft=dict(zip(names, given, strict=True)))

    given = [each.requires_grad_() for each in logs]
    assert torch.autograd.gradcheck(value, given, fast_mode=True)
    assert torch.autograd.gradgradcheck(value, given, fast_mode=True)
    parameter = next(iter(model.weights.values.values()))
    (slope,) = torch.autograd.grad(value(*given).sum(), parameter)
    direction = torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
    ends: list[Tensor] = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            parameter += step * direction
            ends.append(value(*given).sum())
            parameter -= step * direction
    assert float((slope * direction).sum()) == pytest.approx(
        float(ends[0] - ends[1]) / 2e-6, rel=1e-6
    )


@pytest.mark.cpu
@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_engine_that_takes_likelihoods_agrees(
    kernels: bool, dtype: Literal["float32", "float64"]
) -> None:
    circuit = pc.hmm([Variable(f"x{i}", "categorical", 4) for i in range(6)], 3)
    model = pc.compile(circuit, dtype=dtype, seed=2)
    exact = pc.compile(circuit, dtype="float64", seed=2)
    if not kernels:
        model.without_kernels()
    logs = torch.randn(40, 4, dtype=torch.float64).requires_grad_()
    values: list[Tensor] = []
    for each in (model, exact):
        value = each.log_likelihood({}, soft={"x1": logs, "x4": logs})
        (slope,) = torch.autograd.grad(value.sum(), logs)
        values += [value.detach().double(), slope]
    torch.testing.assert_close(values[0], values[2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(values[1], values[3], rtol=1e-4, atol=1e-5)
    assert model.engines.choose(Wanted.GRADIENT, given=True).in_kernels == kernels


def test_likelihoods_of_any_size_keep_their_logarithms() -> None:
    """Indicators take likelihoods as they are: e**-2000 is no 0."""
    b = Builder([binary("a"), binary("b")])
    ones = [int(b.inputs([v], Family.INDICATOR, 2)[0]) for v in range(2)]
    true = [b.sum([one], weights=[[0.0, 1.0]]) for one in ones]
    model = pc.compile(b.build(b.product(true)))
    logs = torch.tensor([[0.0, -1000.0]], requires_grad=True)
    value = model.log_likelihood({}, soft={"a": logs, "b": logs})
    assert float(value.detach()) == -2000.0
    (slope,) = torch.autograd.grad(value.sum(), logs)
    assert slope.tolist() == [[0.0, 2.0]]


def test_other_rows_and_functions_of_torch() -> None:
    model = pc.compile(pc.rat_spn(4, num_replicas=2, units=2, seed=0), dtype="float64")
    logs = torch.randn(3, 2, dtype=torch.float64)
    one = model.log_likelihood({"x0": 1}, soft={"x1": logs})
    rows = torch.full((3, 4), math.nan, dtype=torch.float64)
    rows[:, 0] = 1.0
    torch.testing.assert_close(one, model.log_likelihood(rows, soft={1: logs}))
    slope = torch.func.vmap(
        torch.func.grad(lambda each: model.log_likelihood(rows[:1], soft={"x1": each})[0])
    )(logs)
    own = logs.clone().requires_grad_()
    (want,) = torch.autograd.grad(model.log_likelihood(rows, soft={"x1": own}).sum(), own)
    torch.testing.assert_close(slope, want)
    torch.testing.assert_close(
        model(rows, soft={"x1": logs}), model.log_likelihood(rows, soft={1: logs})
    )
    same = model.log_likelihood(rows, soft={"x1": torch.zeros(2)})
    torch.testing.assert_close(same, model.log_likelihood(rows))


def test_conditional_circuits_take_them_for_one_row_of_context() -> None:
    circuit = pc.rat_spn(4, num_replicas=2, units=2, seed=0)
    module = torch.nn.Linear(3, pc.External.size(circuit))
    model = pc.compile(circuit, pc.External(module))
    context, logs = torch.randn(2, 3), torch.randn(2, 2)
    found = model.log_likelihood({"x0": 1}, context=context[:1], soft={"x1": logs})
    plain = model.given(context[:1])
    torch.testing.assert_close(found, plain.log_likelihood({"x0": 1}, soft={"x1": logs}))
    (slope,) = torch.autograd.grad(found.sum(), module.weight)
    assert slope.abs().sum() > 0.0
    with pytest.raises(OptionError, match="PC910"):
        model.log_likelihood({"x0": 1}, context=context, soft={"x1": logs})
    with pytest.raises(OptionError, match="PC910"):
        model.log_conditional(cast(Any, {"x0": (0, 1)}), {}, context=context)


@pytest.mark.cpu
def test_refusals(golden: Callable[[str], None]) -> None:
    """What does not fit is named, with a way out."""
    variables = [Variable("a", "categorical", 3), real("r")]
    model = pc.compile(pc.naive_bayes_mixture(variables, 2))
    states = pc.compile(pc.naive_bayes_mixture(variables[:1], 2))
    soft: list[dict[str, Tensor]] = [
        {"z": torch.zeros(2)},
        {"r": torch.zeros(2)},
        {"a": torch.zeros(4)},
        {"a": torch.zeros(1, 1, 3)},
        {"a": torch.tensor([0.0, math.nan, 0.0])},
        {"a": torch.tensor([0.0, math.inf, 0.0])},
        {"a": torch.zeros(3, 3)},
    ]
    intervals: list[dict[str, Any]] = [
        {"r": 3.0},
        {"r": (1.0, 2.0, 3.0)},
        {"r": (torch.zeros(2, 2), None)},
        {"r": (2.0, 1.0)},
        {"a": (math.nan, 1.0)},
        {"r": (torch.zeros(3), None)},
    ]
    attempts: list[Callable[[], object]] = [
        *(partial(model.log_likelihood, [{}, {}], soft=each) for each in soft),
        partial(model.log_likelihood, [{}, {}], soft=cast(Any, torch.zeros(2, 3))),
        *(partial(model.log_likelihood, [{}, {}], intervals=each) for each in intervals),
        partial(model.posterior_marginals, {"r": (0, 1)}),
        partial(model.mpe, {"r": (0, 1)}),
        partial(model.log_likelihood, {"r": (0, 1, 2)}),
        partial(states, torch.zeros(1, 1, requires_grad=True)),
    ]
    golden(refusals(attempts, DataError) + "\n")
