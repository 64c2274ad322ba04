"""Entropies and divergences against sums over all worlds, and integrals, in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import pccompiler as pc
from pccompiler.errors import CircuitError, OptionError
from pccompiler.imports import read_psdd
from pccompiler.ir import Builder, Circuit, Family, Hypernetwork, Variable, binary, count, real
from pccompiler.passes import Prune
from pccompiler.structures import rat_spn
from pccompiler.testing import worlds
from pccompiler.testing.strategies import DISCRETE, circuits
from pccompiler.torch_backend.queries.information.information import (
    cross_entropy,
    entropy,
    inner_product,
    kl,
    renyi_entropy,
)

Float = NDArray[np.float64]
FINITE = (*DISCRETE, Family.BINOMIAL)


def compiled(circuit: Circuit) -> pc.CompiledCircuit:
    return pc.compile(circuit, dtype="float64")


def masses(model: pc.CompiledCircuit) -> Float:
    found: Float = model.log_likelihood(worlds(model.circuit)).exp().detach().cpu().numpy()
    return found


def other_weights(circuit: Circuit, seed: int) -> Circuit:
    """The circuit with other weights; zeros may stay or be added."""
    rng = np.random.default_rng(seed)
    values: dict[int, Float] = {}
    for weight, table in circuit.weights.values.items():
        if table.shape[1] == 1:
            values[weight] = table if (table == 1.0).all() else 0.2 + 0.5 * table
            continue
        rows = rng.dirichlet(np.ones(table.shape[1]), size=len(table))
        values[weight] = rows if seed % 2 else np.where(table == 0.0, 0.0, rows)
        values[weight] /= values[weight].sum(1, keepdims=True)
    return circuit.with_values(values)


def surprise(mass: Float) -> float:
    return -math.fsum(float(p) * math.log(p) for p in mass if p > 0.0)


def deterministic(seed: int, variables: int = 4) -> Circuit:
    """A random decision tree: each sum decides one variable, in one order."""
    rng = np.random.default_rng(seed)
    b = Builder([binary(f"x{i}") for i in range(variables)])
    leaves = [b.indicator(v) for v in range(variables)]
    states = [[b.sum([leaf], 1, weights=[row]) for row in np.eye(2)] for leaf in leaves]
    below = [[states[-1][0], states[-1][1]]]
    nodes = [b.sum(below[0], 1, weights=[rng.dirichlet([1, 1])]) for _ in range(2)]
    for v in reversed(range(variables - 1)):
        both = [b.product([states[v][s], nodes[s]]) for s in range(2)]
        nodes = [b.sum(both, 1, weights=[rng.dirichlet([1, 1])]) for _ in range(2)]
    return Prune().run(b.build(nodes[0]))


@settings(max_examples=12)
@given(circuits(families=FINITE), st.integers(0, 1000))
def test_inner_products_are_sums_over_worlds(circuit: Circuit, seed: int) -> None:
    p, q = compiled(circuit), compiled(other_weights(circuit, seed))
    try:
        got = inner_product(p, q), renyi_entropy(p)
    except CircuitError as error:
        if "PC423" not in str(error):
            raise
        reject()
    assert math.exp(got[0].item()) == pytest.approx(masses(p) @ masses(q), rel=1e-10, abs=1e-300)
    assert math.exp(-got[1].item()) == pytest.approx(masses(p) @ masses(p), rel=1e-10)


@settings(max_examples=10)
@given(st.integers(0, 1000), st.integers(1, 5), st.data())
def test_entropy_and_divergences_of_deterministic_circuits(
    seed: int, variables: int, data: st.DataObject
) -> None:
    p = compiled(deterministic(seed, variables))
    q = compiled(deterministic(seed + 1, variables))
    one, two = masses(p), masses(q)
    assert entropy(p)[0].item() == pytest.approx(surprise(one), abs=1e-10)
    want = float(one @ np.log(one / two))
    assert kl(p, q).item() == pytest.approx(want, abs=1e-10)
    assert want >= 0.0
    assert kl(p, p).item() == pytest.approx(0.0, abs=1e-12)
    whole = (entropy(p)[0] + kl(p, q)).item()
    assert cross_entropy(p, q).item() == pytest.approx(whole, abs=1e-10)
    row = np.array(data.draw(st.lists(st.sampled_from([0, 1, np.nan]), min_size=variables,
                                      max_size=variables)), float)  # fmt: skip
    rows = worlds(p.circuit)
    mass = one * np.all(np.isnan(row) | (rows == row), axis=1)
    got = entropy(p, row[None])[0].item()
    assert got == pytest.approx(surprise(mass / mass.sum()), abs=1e-10)


def test_support_that_is_missing() -> None:
    def chance(p: float) -> pc.CompiledCircuit:
        b = Builder([binary("x")])
        return compiled(b.build(b.categorical(0, [[1 - p, p]])))

    assert kl(chance(0.5), chance(1.0)).item() == math.inf
    assert kl(chance(1.0), chance(0.5)).item() == pytest.approx(math.log(2.0))
    assert inner_product(chance(0.0), chance(1.0)).item() == -math.inf
    assert entropy(chance(1.0))[0].item() == 0.0


@pytest.mark.parametrize("name", ["coins.psdd", "nltcs.psdd"])
def test_entropy_of_a_psdd(name: str, sample: Callable[[str], Path]) -> None:
    model = compiled(read_psdd(sample(name)))
    variables = len(model.circuit.variables)
    rows = np.array(list(itertools.product((0, 1), repeat=variables)), float)
    with torch.no_grad():
        logs = model.log_likelihood(rows).cpu().numpy()
    want = -float((np.exp(logs) * np.maximum(logs, -1e3)).sum())
    assert entropy(model)[0].item() == pytest.approx(want, abs=1e-10)


def leaf(variable: Variable, family: Family, row: list[float]) -> pc.CompiledCircuit:
    b = Builder([variable])
    return compiled(b.build(int(b.inputs([0], family)[0])).with_values({0: np.array([row])}))


EDGES = [-2.0, -0.5, 1.0, 3.0]
REALS: list[tuple[Family, list[float]]] = [
    (Family.GAUSSIAN, [0.3, 0.7]),
    (Family.GAUSSIAN, [-1.2, 1.5]),
    (Family.LAPLACE, [0.4, 0.8]),
    (Family.LAPLACE, [-1.0, 0.5]),
    (Family.LAPLACE, [0.1, 0.8]),
    (Family.HISTOGRAM, [0.2, 0.5, 0.3]),
    (Family.HISTOGRAM, [0.6, 0.3, 0.1]),
]


def integral(function: Callable[[Float], Float], kinks: list[float]) -> float:
    """Gauss-Legendre quadrature between the kinks, over a wide range."""
    points, weights = np.polynomial.legendre.leggauss(60)
    cuts = np.unique(np.concatenate([np.linspace(-40.0, 40.0, 161), kinks, EDGES]))
    total = 0.0
    for low, high in itertools.pairwise(cuts.tolist()):
        half = 0.5 * (high - low)
        total += half * float(weights @ function(low + half * (points + 1.0)))
    return total


@pytest.mark.parametrize(("one", "two"), list(itertools.product(REALS, REALS)))
def test_leaves_over_real_variables(
    one: tuple[Family, list[float]], two: tuple[Family, list[float]]
) -> None:
    p, q = (leaf(real("x", edges=EDGES), family, row) for family, row in (one, two))

    def logs(model: pc.CompiledCircuit, x: Float) -> Float:
        found: Float = model.log_likelihood(x[:, None]).detach().cpu().numpy()
        return found

    kinks = [row[0] for family, row in (one, two) if family == Family.LAPLACE]
    if two[0] == Family.HISTOGRAM and one[0] != Family.HISTOGRAM:
        assert kl(p, q).item() == math.inf
    else:
        want = -integral(lambda x: np.exp(logs(p, x)) * np.maximum(logs(q, x), -1e9), kinks)
        assert cross_entropy(p, q).item() == pytest.approx(want, abs=1e-9)
    if one == two:
        assert kl(p, q).item() == pytest.approx(0.0, abs=1e-12)
    want = math.log(integral(lambda x: np.exp(logs(p, x) + logs(q, x)), kinks))
    assert inner_product(p, q).item() == pytest.approx(want, abs=1e-9)


def test_poisson_leaves() -> None:
    p, q = (leaf(count("x"), Family.POISSON, [rate]) for rate in (3.5, 50.0))
    x = np.arange(400.0)[:, None]
    one, two = (model.log_likelihood(x).detach().cpu().numpy() for model in (p, q))
    assert entropy(p)[0].item() == pytest.approx(-float(np.exp(one) @ one), abs=1e-10)
    assert kl(q, p).item() == pytest.approx(float(np.exp(two) @ (two - one)), abs=1e-9)
    want = math.log(float(np.exp(one + two).sum()))
    assert inner_product(p, q).item() == pytest.approx(want, abs=1e-10)


def test_gradients_against_finite_differences() -> None:
    p, q = compiled(deterministic(0, 3)), compiled(deterministic(1, 3))
    queries: list[Callable[[], torch.Tensor]] = [
        lambda: entropy(p)[0],
        lambda: kl(p, q),
        lambda: inner_product(p, q),
        lambda: renyi_entropy(p),
    ]
    for query in queries:
        for model in (p, q):
            for parameter in model.parameters():
                parameter.grad = None
        query().backward()
        for model in (p, q):
            for parameter in model.parameters():
                grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                assert grad.isfinite().all()
                _compare(query, parameter, grad)


def _compare(
    query: Callable[[], torch.Tensor], parameter: torch.Tensor, grad: torch.Tensor
) -> None:
    """Central differences of the first entries."""
    flat = parameter.data.view(-1)
    for i in range(min(4, len(flat))):
        if abs(float(flat[i])) > 20.0:
            continue  # a weight close to 0 or 1
        values: list[float] = []
        old = float(flat[i])
        for step in (1e-5, -1e-5):
            flat[i] = old + step
            values.append(query().item())
        flat[i] = old
        assert float(grad.view(-1)[i]) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-7)


def test_generated_weights_and_float32() -> None:
    circuit = rat_spn(4, 1, 2)
    generated = pc.compile(circuit, hypernetwork=Hypernetwork(), dtype="float32")
    value = renyi_entropy(generated)
    value.backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in generated.parameters())
    mass = masses(generated).astype(float)
    assert math.exp(-value.item()) == pytest.approx(mass @ mass, rel=1e-5)


def test_refusals() -> None:
    mixed = Builder([binary("x")])
    leaves = mixed.categorical(0, [[0.5, 0.5], [0.2, 0.8]])
    model = compiled(mixed.build(mixed.sum([leaves], 1, weights=[[0.3, 0.7]])))
    with pytest.raises(CircuitError, match=r"PC120(.|\n)*deterministic"):
        entropy(model)
    with pytest.raises(CircuitError, match=r"PC120(.|\n)*deterministic"):
        kl(model, model)
    with pytest.raises(OptionError, match="PC428"):
        renyi_entropy(model, 3.0)
    with pytest.raises(CircuitError, match="PC422"):
        inner_product(model, compiled(deterministic(0)))
    tree = compiled(deterministic(0))
    with pytest.raises(CircuitError, match="PC424"):
        renyi_entropy(tree, most_pairs=3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_the_same() -> None:
    p, q = compiled(deterministic(0)), compiled(deterministic(1))
    here = [v.item() for v in (kl(p, q), inner_product(p, q), entropy(p)[0])]
    p, q = p.to("cuda"), q.to("cuda")
    there = [v.item() for v in (kl(p, q), inner_product(p, q), entropy(p)[0])]
    assert here == pytest.approx(there, abs=1e-10)
