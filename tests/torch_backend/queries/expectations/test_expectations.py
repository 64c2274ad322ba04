"""Expectations and covariances against sums over all worlds, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import pccompiler as pc
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Builder, Circuit, Family, Hypernetwork, binary, count, real
from pccompiler.structures import rat_spn
from pccompiler.testing import worlds
from pccompiler.testing.families import family_mixture
from pccompiler.testing.strategies import DISCRETE, circuits
from pccompiler.torch_backend.queries.expectations.expectations import (
    covariance,
    expectation,
    variance,
)

Float = NDArray[np.float64]
FINITE = (*DISCRETE, Family.BINOMIAL)


def compiled(circuit: Circuit) -> pc.CompiledCircuit:
    return pc.compile(circuit, dtype="float64")


@settings(max_examples=15)
@given(circuits(families=FINITE), st.integers(0, 1000))
def test_expectations_are_sums_over_worlds(circuit: Circuit, seed: int) -> None:
    model, rng = compiled(circuit), np.random.default_rng(seed)
    rows = worlds(circuit)
    with torch.no_grad():
        mass = model.log_likelihood(rows).exp().cpu().numpy()
    tables = {v.name: rng.normal(size=v.cardinality) for v in circuit.variables}
    del tables[circuit.variables[0].name]
    columns = [v.name for v in circuit.variables]
    values = np.stack(
        [np.zeros(len(rows))]
        + [t[rows[:, columns.index(n)].astype(int)] for n, t in tables.items()]
    )
    evidence = rows[rng.integers(len(rows), size=4)]
    evidence[rng.random(evidence.shape) < 0.6] = np.nan
    with torch.no_grad():
        total = expectation(model, tables, evidence).cpu().numpy()
        product = expectation(model, tables, evidence, how="product").cpu().numpy()
        spread = variance(model, tables, evidence).cpu().numpy()
        joint = covariance(model, evidence).cpu().numpy()
    for i, row in enumerate(evidence):
        share = mass * np.all(np.isnan(row) | (rows == row), axis=1)
        if share.sum() == 0.0:
            assert all(np.isnan(found[i]).all() for found in (total, product, spread, joint))
            continue
        share /= share.sum()
        sums = values.sum(0)
        assert total[i] == pytest.approx(share @ sums, abs=1e-10)
        assert product[i] == pytest.approx(share @ values[1:].prod(0), abs=1e-10)
        assert spread[i] == pytest.approx(share @ (sums - share @ sums) ** 2, abs=1e-10)
        centred = rows - share @ rows
        assert joint[i] == pytest.approx(centred.T @ (share[:, None] * centred), abs=1e-10)


def closed_forms(family: Family, row: list[float], edges: list[float]) -> list[float]:
    """Moments of order 0 to 4, in closed form."""
    if family == Family.HISTOGRAM:
        bins = list(zip(row, edges, edges[1:], strict=False))
        return [
            sum(p * (b ** (k + 1) - a ** (k + 1)) / ((k + 1) * (b - a)) for p, a, b in bins)
            for k in range(5)
        ]
    if family == Family.POISSON:
        r = row[0]
        return [1, r, r + r**2, r + 3 * r**2 + r**3, r + 7 * r**2 + 6 * r**3 + r**4]
    m, s = row
    second, fourth = (s**2, 3 * s**4) if family == Family.GAUSSIAN else (2 * s**2, 24 * s**4)
    return [1, m, m**2 + second, m**3 + 3 * m * second, m**4 + 6 * m**2 * second + fourth]


@pytest.mark.parametrize(
    ("family", "row"),
    [
        (Family.GAUSSIAN, [0.7, 1.3]),
        (Family.LAPLACE, [-0.4, 0.9]),
        (Family.HISTOGRAM, [0.2, 0.5, 0.3]),
        (Family.POISSON, [0.01]),
        (Family.POISSON, [4.5]),
        (Family.POISSON, [1e5]),
    ],
)
def test_moments_of_leaves(family: Family, row: list[float]) -> None:
    edges = [-2.0, -0.5, 1.0, 3.0]
    b = Builder([count("x") if family == Family.POISSON else real("x", edges=edges)])
    leaf = int(b.inputs([0], family)[0])
    model = compiled(b.build(leaf).with_values({0: np.array([row])}))
    wanted = closed_forms(family, row, edges)
    for order in range(5):
        power = [0.0] * order + [1.0]
        assert expectation(model, {"x": power}).item() == pytest.approx(wanted[order], rel=1e-10)


def test_all_families_together() -> None:
    model = compiled(family_mixture())
    names = [v.name for v in model.circuit.variables]
    found = covariance(model).detach()[0]
    posterior = model.posterior_marginals()
    assert found.diagonal().cpu().numpy() == pytest.approx(
        posterior.variance[0].cpu().numpy(), abs=1e-9
    )
    states = {n: np.arange(v.cardinality) if v.discrete else [0, 1]
              for n, v in zip(names, model.circuit.variables, strict=True)}  # fmt: skip
    mean = expectation(model, states).item()
    assert mean == pytest.approx(posterior.mean.sum().item(), abs=1e-9)
    assert variance(model, states).item() == pytest.approx(found.sum().item(), abs=1e-8)


def test_callables_meet_real_values() -> None:
    b = Builder([real("x"), real("y")])
    x = b.gaussian(0, [[0.0, 1.0], [1.0, 0.5]])
    y = b.gaussian(1, [[2.0, 1.0], [-1.0, 0.3]])
    model = compiled(b.build(b.sum([b.product([x, y])], weights=[[0.3, 0.7]])))
    got = expectation(model, {"x": torch.cos, "y": torch.exp}, how="product").item()
    parts = [
        w * math.cos(m) * math.exp(-(s**2) / 2) * math.exp(n + t**2 / 2)
        for w, m, s, n, t in [(0.3, 0.0, 1.0, 2.0, 1.0), (0.7, 1.0, 0.5, -1.0, 0.3)]
    ]
    assert got == pytest.approx(sum(parts), abs=1e-10)
    known = expectation(model, {"x": torch.cos}, {"x": 2.0}).item()
    assert known == pytest.approx(math.cos(2.0), abs=1e-12)


@pytest.mark.parametrize("generated", [False, True])
def test_gradients_against_finite_differences(generated: bool) -> None:
    circuit = rat_spn(4, 1, 2)
    model = pc.compile(circuit, hypernetwork=Hypernetwork() if generated else None, dtype="float64")
    tables = {v: [0.3, -1.2] for v in range(4)}
    queries: list[Callable[[], torch.Tensor]] = [
        lambda: expectation(model, tables, how="product")[0],
        lambda: variance(model, tables)[0],
    ]
    for query in queries:
        model.zero_grad()
        query().backward()
        for parameter in model.parameters():
            assert parameter.grad is not None
            place = int(parameter.grad.abs().argmax())
            flat, old = parameter.data.view(-1), parameter.data.view(-1)[place].item()
            values: list[float] = []
            for step in (1e-5, -1e-5):
                flat[place] = old + step
                values.append(query().item())
            flat[place] = old
            got = parameter.grad.view(-1)[place].item()
            assert got == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-8, rel=1e-5)


def test_refusals() -> None:
    b = Builder([binary("x")])
    model = compiled(b.build(b.bernoulli(0, [0.3])))
    with pytest.raises(OptionError, match="PC426"):
        expectation(model, {"x": [1.0]})
    with pytest.raises(OptionError, match="PC427"):
        expectation(model, {"x": [1.0, 2.0]}, how="mean")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="PC407"):
        expectation(model, {"y": [1.0, 2.0]})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_gives_the_same() -> None:
    model = compiled(family_mixture())
    here = covariance(model).detach().cpu().numpy()
    assert covariance(model.to("cuda")).detach().cpu().numpy() == pytest.approx(here, abs=1e-10)
