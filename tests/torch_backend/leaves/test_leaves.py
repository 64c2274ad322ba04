"""Every leaf family, alone and mixed, against the oracle, the definition and finite differences."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import pccompiler as pc
from pccompiler.errors import DataError
from pccompiler.ir import (
    Builder,
    Circuit,
    Family,
    binary,
    categorical,
    count,
    parse,
    real,
    to_text,
)
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.testing import density, random_weights, with_values
from pccompiler.testing.families import FAMILIES
from pccompiler.testing.families import family_mixture as mixture
from pccompiler.testing.strategies import circuits, rows
from pccompiler.torch_backend import CompiledCircuit

EDGES = (-2.0, -0.5, 0.1, 1.5)


def oracle(model: CompiledCircuit, x: np.ndarray) -> np.ndarray:
    weights = materialize(model.plan, model.weights.layout, model.parameters_as_numpy())
    return log_likelihood(model.plan, weights, x)


def table(circuit: Circuit, number: int = 40, missing: float = 0.2) -> np.ndarray:
    return rows(circuit, 3, number, missing)


@pytest.mark.parametrize("numerics", ["auto", "log"])
@pytest.mark.parametrize("given_values", [False, True])
def test_all_families_equal_the_oracle(given_values: bool, numerics: pc.api.Numerics) -> None:
    circuit = mixture()
    if given_values:
        circuit = with_values(circuit, random_weights(circuit, 1, zeros=True))
    x = table(circuit)
    for dtype, tolerance in (("float64", 1e-10), ("float32", 5e-6)):
        model = pc.compile(circuit, dtype=dtype, numerics=numerics)  # type: ignore[call-overload]
        with torch.no_grad():
            got = model.log_likelihood(x).double().cpu().numpy()
        want = oracle(model, x)
        assert (np.isneginf(got) == np.isneginf(want)).all()
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


@given(circuits(max_variables=4, families=tuple(Family)), st.integers(0, 1000))
def test_random_circuits_with_given_weights(circuit: Circuit, seed: int) -> None:
    """All families, including zeros, against the definition by enumeration."""
    x = rows(circuit, seed, missing=0.0)
    with torch.no_grad():
        got = pc.compile(circuit, dtype="float64").log_likelihood(x).exp().cpu().numpy()
    np.testing.assert_allclose(got, [density(circuit, r) for r in x], rtol=1e-10, atol=1e-300)


@given(
    circuits(max_variables=4, families=tuple(Family), values=False),
    st.integers(0, 1000),
)
def test_random_circuits(circuit: Circuit, seed: int) -> None:
    x = rows(circuit, seed)
    for dtype, tolerance in (("float64", 1e-10), ("float32", 2e-5)):
        model = pc.compile(circuit, dtype=dtype, seed=seed)  # type: ignore[call-overload]
        with torch.no_grad():
            got = model.log_likelihood(x).double().cpu().numpy()
        np.testing.assert_allclose(got, oracle(model, x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_equal_finite_differences(family: Family) -> None:
    other = Family.BERNOULLI if family == Family.CATEGORICAL else Family.CATEGORICAL
    circuit = mixture(2, (family, other))
    model = pc.compile(circuit, dtype="float64")
    x = torch.from_numpy(table(circuit, 6))
    names = [name for name, _ in model.named_parameters()]

    def evaluate(*parameters: Tensor) -> Tensor:
        values = dict(zip(names, parameters, strict=True))
        result: Tensor = torch.func.functional_call(model, values, (x,))
        return result.masked_fill(result.isinf(), 0.0)

    assert torch.autograd.gradcheck(evaluate, tuple(model.parameters()), nondet_tol=1e-12)
    value = model.log_likelihood(x)
    grads = torch.autograd.grad(value[value.isfinite()].sum(), list(model.parameters()))
    assert all(bool((grad != 0).any()) for grad in grads)


@settings(max_examples=25)
@given(circuits(max_variables=3, families=tuple(Family)), st.integers(0, 1000))
def test_gradients_are_finite_whatever_is_zero(circuit: Circuit, seed: int) -> None:
    model = pc.compile(circuit)
    value = model.log_likelihood(rows(circuit, seed))
    value[value.isfinite()].sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all())


def test_large_counts_keep_their_digits_in_float32() -> None:
    """Terms of 1e8 cancel to about -10."""
    b = Builder([count("k")])
    circuit = b.build(int(b.inputs([0], Family.POISSON, 1)[0]))
    model = pc.compile(with_values(circuit, {0: np.array([[5e6]])}))
    x = np.array([[5e6], [5.002e6], [0.0], [1.6e7]])
    with torch.no_grad():
        got = model.log_likelihood(x).double().cpu().numpy()
    np.testing.assert_allclose(got, oracle(model, x), rtol=2e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_parameters_stay_finite(dtype: pc.api.Dtype) -> None:
    circuit = mixture()
    model = pc.compile(circuit, dtype=dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            draw = torch.randn(
                parameter.shape,
                generator=torch.Generator(torch.get_default_device()).manual_seed(1),
            )
            parameter.copy_(25.0 * draw)
    x = table(circuit)
    x[:, list(FAMILIES).index(Family.HISTOGRAM)] = 0.5  # inside the edges
    x[:, list(FAMILIES).index(Family.GAMMA)] = np.linspace(1e-3, 40.0, len(x))  # positive
    value = model.log_likelihood(x)
    assert bool(value.isfinite().all())
    value.sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())


def test_values_outside_the_edges_have_density_zero_and_edges_belong_to_bins() -> None:
    b = Builder([real("h", [0.1, 0.2, 0.4])])
    leaf = int(b.inputs([0], Family.HISTOGRAM, 1)[0])
    circuit = with_values(b.build(leaf), {0: np.array([[0.25, 0.75]])})
    for dtype in ("float32", "float64"):
        model = pc.compile(circuit, dtype=dtype)
        x = [[0.1], [0.2], [0.4], [0.0999], [0.41], [-1e30], [math.nan]]
        got = model.log_likelihood(x).exp().tolist()
        assert got == pytest.approx([2.5, 3.75, 3.75, 0.0, 0.0, 0.0, 1.0], rel=1e-6)


@pytest.mark.parametrize("value", [-1.0, 0.5, math.inf])
def test_counts_are_whole_numbers(value: float) -> None:
    model = pc.compile(mixture(2, (Family.POISSON,)))
    with pytest.raises(DataError, match="whole numbers from 0 on"):
        model.log_likelihood([[value]])


def test_the_scale_is_added() -> None:
    circuit = mixture(2, (Family.GAUSSIAN,))
    plain, scaled = pc.compile(circuit), pc.compile(circuit.replace(log_scale=-3.5))
    x = table(circuit, 5)
    torch.testing.assert_close(scaled.log_likelihood(x), plain.log_likelihood(x) - 3.5)
    np.testing.assert_allclose(
        scaled.log_likelihood(x).detach().cpu(), oracle(scaled, x), rtol=1e-5
    )


def test_one_group_holds_variables_of_different_trials_and_edges() -> None:
    b = Builder(
        [categorical("n", 3), categorical("m", 9), real("g", [0, 1, 3]), real("h", [2, 4, 5])]
    )
    leaves = [
        *b.inputs([0, 1], Family.BINOMIAL, 2).tolist(),
        *b.inputs([2, 3], Family.HISTOGRAM, 2).tolist(),
    ]
    circuit = b.build(b.sum([b.product(leaves)], 1))
    model = pc.compile(circuit, dtype="float64")
    assert len(model.plan.groups) == 3
    x = np.array([[2, 8, 0.5, 4.5], [0, 0, 3.0, 2.0], [1, math.nan, 1.0, math.nan]])
    got = model.log_likelihood(x).detach().cpu().numpy()
    np.testing.assert_allclose(got, oracle(model, x), rtol=1e-12)


def test_families_mix_train_and_go_through_text() -> None:
    """One circuit over binary, categorical, count and real columns, two families per variable."""
    variables = [binary("b"), categorical("c", 3), count("k"), real("g"), real("h", EDGES)]
    b = Builder(variables)
    first = [
        Family.BERNOULLI,
        Family.CATEGORICAL,
        Family.POISSON,
        Family.GAUSSIAN,
        Family.HISTOGRAM,
    ]
    second = [Family.BERNOULLI, Family.BINOMIAL, Family.POISSON, Family.LAPLACE, Family.GAUSSIAN]
    products = [
        b.product([int(b.inputs([v], f, 2)[0]) for v, f in enumerate(families)])
        for families in (first, second)
    ]
    circuit = parse(to_text(b.build(b.sum(products, 1))))
    model = pc.compile(circuit)
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, 400)
    x = np.stack(
        [
            side,
            rng.integers(0, 2, 400) + side,
            rng.poisson(1 + 4 * side),
            rng.normal(2 * side - 1, 0.5),
            rng.uniform(-2, 1.5, 400),
        ],
        axis=1,
    ).astype(np.float64)
    x[rng.random(x.shape) < 0.1] = np.nan
    history = pc.fit(model, x, steps=200, batch_size=200, evaluate_every=100, learning_rate=2e-2)
    assert history.evaluations[-1].train > history.evaluations[0].train
    with torch.no_grad():
        found = model.log_likelihood(x).cpu()
        np.testing.assert_allclose(found, oracle(model, x), rtol=2e-5)


def test_a_checkpoint_holds_all_families(tmp_path: Path) -> None:
    circuit = mixture()
    model = pc.compile(circuit, seed=4)
    pc.save(model, tmp_path / "m")
    x = table(circuit)
    again = pc.load(tmp_path / "m")
    assert torch.equal(again.log_likelihood(x), model.log_likelihood(x))


@pytest.mark.parametrize("net", [None, pc.Hypernetwork()], ids=["direct", "hypernetwork"])
def test_the_trained_circuit_means_the_same(net: pc.Hypernetwork | None) -> None:
    for circuit in (pc.rat_spn(7, 2, 3), mixture())[: 1 if net else 2]:
        model = pc.compile(circuit, net, dtype="float64")
        trained = model.trained_circuit()
        pc.passes.verify(trained)
        x = table(circuit)
        again = pc.compile(trained, dtype="float64")
        torch.testing.assert_close(
            again.log_likelihood(x), model.log_likelihood(x), rtol=1e-11, atol=1e-11
        )
