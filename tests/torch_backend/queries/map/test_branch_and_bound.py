"""Branch and bound against enumeration of all worlds, in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import pccompiler as pc
from pccompiler.errors import DataError, OptionError
from pccompiler.imports import read
from pccompiler.ir import Builder, Circuit, Family, Hypernetwork
from pccompiler.structures import random_tree
from pccompiler.testing import random_circuit, worlds
from pccompiler.testing.strategies import DISCRETE, circuits
from pccompiler.torch_backend.queries.answers import Completions
from pccompiler.torch_backend.queries.map.bounds import upper_bound
from pccompiler.torch_backend.queries.map.branch_and_bound import branch_and_bound

Float = NDArray[np.float64]
FINITE = (*DISCRETE, Family.BINOMIAL)


def compiled(circuit: Circuit) -> pc.CompiledCircuit:
    return pc.compile(circuit, dtype="float64")


def evidence_row(circuit: Circuit, seed: int, missing: float) -> Float:
    rng = np.random.default_rng(seed)
    row: Float = np.floor(rng.random(len(circuit.variables)) * states_of(circuit))
    row[rng.random(len(row)) < missing] = np.nan
    return row


def states_of(circuit: Circuit) -> NDArray[np.int64]:
    return np.array([v.cardinality for v in circuit.variables])


def completions(circuit: Circuit, row: Float, query: list[int]) -> Float:
    """All completions of the query's open variables, in lexicographic order."""
    every = worlds(circuit)
    keep = [v for v in query if np.isnan(row[v])]
    fits = np.all(np.isnan(row) | (every == row), axis=1)
    chosen = np.unique(every[fits][:, keep], axis=0)
    out = np.repeat(row[None], len(chosen), axis=0)
    out[:, keep] = chosen
    return out


def ordered(model: pc.CompiledCircuit, rows: Float) -> tuple[Float, Float]:
    """Possible rows, best first, ties in lexicographic order; and their log-densities."""
    with torch.no_grad():
        value = model.log_likelihood(rows).cpu().numpy()
    order = np.argsort(-np.round(value / 1e-9), kind="stable")
    order = order[value[order] > -np.inf]
    return rows[order], value[order]


def agree(found: Completions, want: Float, value: Float, k: int) -> None:
    number = min(k, len(want))
    assert bool(found.optimal[0])
    assert float(found.gap[0]) == 0.0
    np.testing.assert_allclose(found.log_value[0, :number].cpu(), value[:number], atol=1e-10)
    np.testing.assert_array_equal(found.rows[0, :number].cpu(), want[:number])
    assert found.log_value[0, number:].eq(-torch.inf).all()
    assert found.rows[0, number:].isnan().all()


@settings(max_examples=30)
@given(
    circuits(6, families=FINITE),
    st.integers(0, 99),
    st.integers(1, 5),
    st.sampled_from([0.5, 0.8, 1.0]),
)
def test_k_best_are_those_of_enumeration(
    circuit: Circuit, seed: int, k: int, missing: float
) -> None:
    model, row = compiled(circuit), evidence_row(circuit, seed, missing)
    want, value = ordered(model, completions(circuit, row, list(range(len(row)))))
    if not len(want):
        with pytest.raises(DataError, match="probability 0"):
            branch_and_bound(model, row[None])
        return
    agree(branch_and_bound(model, row[None], k=k), want, value, k)


@settings(max_examples=30)
@given(circuits(6, families=FINITE), st.integers(0, 99), st.integers(1, 3))
def test_marginal_map_is_that_of_enumeration(circuit: Circuit, seed: int, k: int) -> None:
    model, row = compiled(circuit), evidence_row(circuit, seed, 0.8)
    rng = np.random.default_rng(seed)
    query = [v for v in range(len(row)) if rng.random() < 0.6]
    want, value = ordered(model, completions(circuit, row, query))
    if not len(want):
        return
    bound = float(upper_bound(model, row[None], query=query)[0])
    assert bound >= value[0] - 1e-10
    agree(branch_and_bound(model, row[None], k=k, query=query), want, value, k)


@settings(max_examples=30)
@given(circuits(6, families=FINITE), st.integers(0, 99))
def test_bound_is_above_the_maximum(circuit: Circuit, seed: int) -> None:
    model = compiled(circuit)
    rows = np.stack([evidence_row(circuit, seed + i, p) for i, p in enumerate((0.0, 0.3, 0.7, 1))])
    bounds = upper_bound(model, rows).cpu().numpy()
    for row, bound in zip(rows, bounds, strict=True):
        _, value = ordered(model, completions(circuit, row, list(range(len(row)))))
        top = value[0] if len(value) else -np.inf
        assert bound >= top - 1e-10
        if model.deterministic or not np.isnan(row).any():
            assert bound == pytest.approx(top, abs=1e-10)


@pytest.mark.parametrize("seed", range(1, 4))
def test_ten_variables(seed: int) -> None:
    circuit = random_circuit(seed, 10, families=DISCRETE)
    model, row = compiled(circuit), np.full(len(circuit.variables), np.nan)
    want, value = ordered(model, completions(circuit, row, list(range(len(row)))))
    agree(branch_and_bound(model, k=5), want, value, 5)


def uniform(number: int, weights: tuple[float, float] = (0.5, 0.5)) -> Circuit:
    b = Builder()
    leaves = [b.bernoulli(b.binary(f"x{i}"), 0.5) for i in range(number)]
    others = [b.bernoulli(i, 0.5) for i in range(number)]
    return b.build(b.sum([b.product(leaves), b.product(others)], weights=weights))


def test_ties_are_in_order_and_cost_little() -> None:
    found = branch_and_bound(compiled(uniform(20)), k=4)
    assert found.rows[0, :, -2:].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert found.rows[0, :, :-2].eq(0).all()
    assert bool(found.optimal[0])
    assert int(found.expanded[0]) < 100


def test_trained_generated_weights() -> None:
    data = pc.datasets.load("hand-designed").train[:500, :16].astype(np.float64)
    circuit = random_tree(data.shape[1], units=3, replicas=2, seed=1)
    model = pc.compile(circuit, hypernetwork=Hypernetwork(hidden=(5, 3)), dtype="float64", seed=1)
    pc.fit(model, data, steps=30, batch_size=250, progress=False)
    check_all_worlds(model, circuit)


@pytest.mark.parametrize("name", ["coins.psdd", "coins.spn", "nltcs.spn.gz", "nltcs.psdd"])
def test_file_against_all_worlds(name: str, sample: Callable[[str], Path]) -> None:
    circuit = read(sample(name))
    check_all_worlds(compiled(circuit), circuit)


def check_all_worlds(model: pc.CompiledCircuit, circuit: Circuit) -> None:
    want, value = ordered(model, worlds(circuit))
    found = branch_and_bound(model, k=5)
    agree(found, want, value, 5)
    blank = np.full((1, len(circuit.variables)), np.nan)
    bound = float(upper_bound(model, blank)[0])
    assert bound >= value[0] - 1e-10
    if model.deterministic:
        assert bound == pytest.approx(value[0], abs=1e-10)


def hard() -> pc.CompiledCircuit:
    return pc.compile(random_tree(18, units=3, replicas=2, seed=0), dtype="float64", seed=0)


def test_limit_returns_the_incumbent_and_its_gap() -> None:
    model = hard()
    exact = branch_and_bound(model)
    assert bool(exact.optimal[0])
    short = branch_and_bound(model, limit=1)
    assert int(short.expanded[0]) == 1
    assert not bool(short.optimal[0])
    assert float(short.gap[0]) > 0.0
    best, found = float(exact.log_value[0, 0]), float(short.log_value[0, 0])
    assert found - 1e-9 <= best <= found + float(short.gap[0]) + 1e-9
    assert not bool(branch_and_bound(model, seconds=0.0).optimal[0])


def test_tolerance_saves_nodes_and_is_kept() -> None:
    model = hard()
    exact, near = branch_and_bound(model), branch_and_bound(model, tolerance=1.0)
    assert bool(near.optimal[0])
    assert float(near.gap[0]) <= 1.0
    assert int(near.expanded[0]) < int(exact.expanded[0])
    assert float(exact.log_value[0, 0]) <= float(near.log_value[0, 0] + near.gap[0]) + 1e-9


def test_rows_of_evidence_are_answered_one_by_one() -> None:
    circuit = random_circuit(3, 6)
    rows = np.stack([np.full(len(circuit.variables), np.nan), worlds(circuit)[0]])
    model = compiled(circuit)
    rows = rows[np.isfinite(model.log_likelihood(rows).detach().cpu().numpy())]
    found = branch_and_bound(model, rows, k=2)
    for place, row in enumerate(rows):
        one = branch_and_bound(model, row[None], k=2)
        torch.testing.assert_close(found.rows[place], one.rows[0], equal_nan=True)
        torch.testing.assert_close(found.log_value[place], one.log_value[0])
    assert branch_and_bound(model, rows[:0], k=2).rows.shape == (0, 2, rows.shape[1])


def with_reals() -> Circuit:
    b = Builder()
    x, y = b.binary("x"), b.real("height")
    parts = [
        b.product([b.bernoulli(x, p), b.gaussian(y, [[m, 1.0]])])
        for p, m in ((0.1, 0.0), (0.6, 3.0))
    ]
    return b.build(b.sum(parts, weights=[0.7, 0.3]))


def test_open_real_variables_are_summed_out_or_refused() -> None:
    model = compiled(with_reals())
    with pytest.raises(OptionError, match=r"PC430.*height"):
        branch_and_bound(model)
    blank = np.full((1, 2), np.nan)
    found = branch_and_bound(model, blank, query=["x"], k=2)
    assert found.rows[0, :, 0].tolist() == [0.0, 1.0]
    assert found.rows[0, :, 1].isnan().all()
    np.testing.assert_allclose(found.log_value[0].exp().cpu(), [0.75, 0.25], atol=1e-12)
    assert branch_and_bound(model, {"height": 3.0}).rows[0, 0].tolist() == [1.0, 3.0]
    density = float(model.log_likelihood([[0.0, 0.0]]).detach()[0])
    assert float(upper_bound(model, blank)[0]) >= density


@pytest.mark.parametrize(
    ("name", "value"), [("k", 0), ("limit", 0), ("tolerance", -1.0), ("seconds", float("nan"))]
)
def test_numbers_out_of_range(name: str, value: float) -> None:
    with pytest.raises(OptionError, match=name):
        branch_and_bound(compiled(uniform(2)), **{name: value})  # type: ignore[arg-type]
