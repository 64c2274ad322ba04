"""Chow-Liu trees against brute force, and hidden Chow-Liu trees."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Circuit, Direct, Family, binary, categorical, count, real, to_text
from pccompiler.ir.arrays import Float, Int
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.passes import findings, plan
from pccompiler.structures import ChowLiuTree, chow_liu, chow_liu_tree, hclt
from pccompiler.structures.tools import information
from pccompiler.structures.tools.trees import rooted
from pccompiler.testing import random_weights, total_mass, with_values
from pccompiler.testing.refusals import refusals

networkx: Any = import_module("networkx")  # untyped
Golden = Callable[[str], None]


def evaluate(circuit: Circuit, x: Float) -> Float:
    lowered = plan(circuit.replace(generator=Direct(floor=0.0)), dtype="float64")
    return log_likelihood(lowered, by_group(lowered, circuit.weights.values), x)


def brute_force(x: Float, i: int, j: int, sizes: list[int], pseudocount: float) -> float:
    """Mutual information of two columns, cell by cell."""
    joint = np.full((sizes[i], sizes[j]), pseudocount / (sizes[i] * sizes[j]))
    for a, b in x[:, [i, j]].tolist():
        if not (math.isnan(a) or math.isnan(b)):
            joint[int(a), int(b)] += 1.0
    if joint.sum() == 0.0:
        return 0.0
    joint /= joint.sum()
    total = 0.0
    for a in range(sizes[i]):
        for b in range(sizes[j]):
            p = joint[a, b]
            total += p * math.log(p / (joint[a].sum() * joint[:, b].sum())) if p else 0.0
    return total


@given(
    sizes=st.lists(st.integers(2, 4), min_size=2, max_size=5),
    rows=st.integers(1, 30),
    pseudocount=st.sampled_from([0.0, 0.5, 3.0]),
    gaps=st.booleans(),
    seed=st.integers(0, 100),
)
def test_information_is_that_of_brute_force(
    sizes: list[int], rows: int, pseudocount: float, gaps: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, sizes, (rows, len(sizes))).astype(np.float64)
    if gaps:
        x[rng.random(x.shape) < 0.3] = np.nan
    variables = [categorical(f"c{i}", size) for i, size in enumerate(sizes)]
    found = chow_liu_tree(x, variables, pseudocount=pseudocount).mutual_information
    for i in range(len(sizes)):
        for j in range(len(sizes)):
            if i != j:
                want = brute_force(x, i, j, sizes, pseudocount)
                assert found[i, j] == pytest.approx(want, rel=1e-9, abs=1e-12)
    assert (found == found.T).all()


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).integers(0, 3, (50, 9))
    whole = chow_liu_tree(x).mutual_information
    monkeypatch.setattr(information, "COLUMNS", 7)
    monkeypatch.setattr(information, "ROWS", 11)
    np.testing.assert_allclose(chow_liu_tree(x).mutual_information, whole, atol=1e-12)


def test_the_diagonal_has_the_entropies() -> None:
    x = np.array([[0, 0], [0, 1], [1, 2], [1, 3]])
    found = chow_liu_tree(x, pseudocount=0.0).mutual_information
    np.testing.assert_allclose(np.diag(found), [math.log(2), math.log(4)])
    assert found[0, 1] == pytest.approx(math.log(2))


def sample(rng: np.random.Generator, parents: list[int], rows: int, states: int = 3) -> Int:
    """Rows from a tree in which nodes mostly copy their parents."""
    x = np.empty((rows, len(parents)), np.int64)
    for node, parent in enumerate(parents):
        noise = rng.integers(0, states, rows)
        follows = rng.random(rows) < 0.7
        x[:, node] = (
            noise if parent < 0 else np.where(follows, (x[:, parent] + node) % states, noise)
        )
    return x


@pytest.mark.parametrize("seed", range(5))
def test_the_tree_of_sampled_data_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parents = [-1, *(int(rng.integers(0, node)) for node in range(1, 12))]
    found = chow_liu_tree(sample(rng, parents, 3000)).edges
    assert {tuple(edge) for edge in found.tolist()} == {
        (p, i) for i, p in enumerate(parents) if p >= 0
    }


@given(n=st.integers(1, 5), seed=st.integers(0, 50), pseudocount=st.sampled_from([0.0, 1.0]))
def test_chow_liu_is_the_product_of_its_tables(n: int, seed: int, pseudocount: float) -> None:
    rng = np.random.default_rng(seed)
    x = sample(rng, [-1, *range(n - 1)], 40)
    circuit = chow_liu(x, [categorical(f"c{i}", 3) for i in range(n)], pseudocount=pseudocount)
    assert findings(circuit) == ()
    assert total_mass(circuit) == pytest.approx(1.0, rel=1e-12)
    edges = chow_liu_tree(x, pseudocount=pseudocount).edges
    tree = rooted(edges, n)
    want = np.zeros(len(x))
    for node, parent in enumerate(tree.parent.tolist()):
        for row in range(len(x)):
            a, b = x[row, parent] if parent >= 0 else 0, x[row, node]
            alike = x[:, parent] == a if parent >= 0 else np.ones(len(x), np.bool_)
            above = 3 if parent >= 0 else 1
            both = (alike & (x[:, node] == b)).sum() + pseudocount / (above * 3)
            want[row] += math.log(both / (alike.sum() + pseudocount / above))
    np.testing.assert_allclose(evaluate(circuit, x.astype(np.float64)), want, rtol=1e-9)


def test_log_likelihood_is_information_less_entropy() -> None:
    x = sample(np.random.default_rng(1), [-1, 0, 1, 1, 0], 500)
    tree = chow_liu_tree(x, pseudocount=0.0)
    mean = float(evaluate(chow_liu(x, pseudocount=0.0), x.astype(np.float64)).mean())
    assert mean == pytest.approx(tree.weight - float(np.diag(tree.mutual_information).sum()))


def test_chow_liu_with_missing_values_and_unseen_states() -> None:
    x = np.array([[0, np.nan, 1], [1, 2, np.nan], [np.nan, 0, 0], [1, 2, 1]])
    circuit = chow_liu(x, [binary("a"), categorical("b", 4), binary("c")], pseudocount=0.0)
    assert findings(circuit) == ()
    assert total_mass(circuit) == pytest.approx(1.0)


def test_a_long_chain_needs_no_recursion() -> None:
    steps = np.arange(2999)
    tree = rooted(np.stack([steps, steps + 1], axis=1), 3000)
    assert tree.depth.max() == 1500
    variables = tuple(binary(f"x{i}") for i in range(3000))
    chain = ChowLiuTree(variables, np.stack([steps, steps + 1], axis=1), np.zeros((1, 1)))
    circuit = hclt(chain, 2)
    assert findings(circuit) == ()
    assert circuit.statistics.depth == 2 * 1500 + 1


def test_hclt_counts_and_mass() -> None:
    x = sample(np.random.default_rng(3), [-1, 0, 0, 1, 1, 2], 200)
    circuit = hclt(x, 4)
    assert findings(circuit) == ()
    assert total_mass(with_values(circuit, random_weights(circuit, 0))) == pytest.approx(1.0)
    assert circuit.statistics.kinds["input"] == circuit.statistics.kinds["sum"] == 6
    assert circuit.statistics.weight_entries == 6 * 4 * 3 + 5 * 16 + 4
    tree = chow_liu_tree(x)
    assert hclt(tree, 4) == circuit
    assert hclt(tree.to_networkx(), 4, variables=tree.variables) == circuit
    assert hclt(tree, 4, root="x5") != circuit


def test_hclt_of_mixed_columns() -> None:
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2, 300)
    x = np.stack([base, base + rng.normal(size=300), rng.poisson(3 + 5 * base), base * 3.5], axis=1)
    x[::7, 1] = np.nan
    variables = [binary("a"), real("b"), count("c"), real("d")]
    circuit = hclt(x, 3, variables=variables, leaf={"b": "laplace"})
    assert findings(circuit) == ()
    assert set(circuit.family.tolist()) - {-1} == {
        Family.CATEGORICAL,
        Family.LAPLACE,
        Family.POISSON,
        Family.GAUSSIAN,
    }
    edges = {tuple(edge) for edge in chow_liu_tree(x, variables).edges.tolist()}
    assert (0, 3) in edges


def test_bins_and_rows_find_the_same_tree() -> None:
    x = sample(np.random.default_rng(0), [-1, 0, 1, 2, 1], 4000, states=16)
    exact = chow_liu_tree(x).edges
    np.testing.assert_array_equal(chow_liu_tree(x, mi_rows=2000).edges, exact)
    assert chow_liu_tree(x, mi_bins=4).mutual_information.max() < math.log(4.01)


def test_variables_are_found_in_the_data() -> None:
    x = np.array([[0.0, 1.0, 0.5, np.nan], [1.0, 4.0, -1.0, np.nan]])
    found = chow_liu_tree(x).variables
    assert [str(variable) for variable in found] == [
        "binary with 2 states",
        "categorical with 5 states",
        "real",
        "binary with 2 states",
    ]


def test_text_of_a_chow_liu_tree(golden: Golden) -> None:
    x = np.array([[0, 0, 1], [0, 0, 0], [1, 2, 1], [1, 1, 1], [1, 2, 0]])
    golden(to_text(chow_liu(x)))


def test_text_of_a_hidden_chow_liu_tree(golden: Golden) -> None:
    golden(to_text(hclt(np.array([[0, 0, 1], [0, 0, 0], [1, 2, 1], [1, 1, 1]]), 2)))


def test_errors(golden: Golden) -> None:
    table = np.array([[0, 1], [1, 0]])
    graph = networkx.Graph([("a", "b")])
    two = [binary("a"), binary("b")]
    attempts: list[Callable[[], object]] = [
        lambda: chow_liu([0, 1]),
        lambda: chow_liu(np.zeros((0, 3))),
        lambda: chow_liu([["a", "b"]]),
        lambda: chow_liu([[0, 1], [1]]),
        lambda: chow_liu([[0.5, 1.0]]),
        lambda: chow_liu(table, [binary("a")]),
        lambda: chow_liu(table + 1, two),
        lambda: chow_liu(table - 1, two),
        lambda: chow_liu(np.array([[10**6, 1]])),
        lambda: hclt([[0.5, np.inf]], 2),
        lambda: chow_liu(table, pseudocount=-1.0),
        lambda: chow_liu_tree(table, mi_bins=1),
        lambda: hclt(table, 0),
        lambda: hclt(table, 2, root="z"),
        lambda: hclt(table, 2, leaf="indicator"),
        lambda: hclt(graph, 2),
        lambda: hclt(graph, 2, variables=[binary("a")]),
        lambda: hclt(graph, 2, variables=[*two, binary("c")]),
    ]
    golden(refusals(attempts, (OptionError, DataError)))
