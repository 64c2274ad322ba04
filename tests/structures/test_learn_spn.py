"""Splits learned from data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import DataError, OptionError
from pccompiler.ir import Circuit, Direct, Kind, binary, categorical, real, to_text
from pccompiler.ir.arrays import Float, Int
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.passes import findings, plan
from pccompiler.structures import chow_liu, learn_spn
from pccompiler.structures.learn_spn import _chi_square  # pyright: ignore[reportPrivateUsage]
from pccompiler.testing import total_mass
from pccompiler.testing.refusals import refusals

Golden = Callable[[str], None]


def mean(circuit: Circuit, x: Int) -> float:
    lowered = plan(circuit.replace(generator=Direct(floor=0.0)), dtype="float64")
    weights = by_group(lowered, circuit.weights.values)
    rows: Float = x.astype(np.float64)
    return float(log_likelihood(lowered, weights, rows).mean())


def clusters(rows: int, seed: int = 0) -> Int:
    """Two groups of rows, and an independent column."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, rows)
    flips = rng.random((rows, 4)) < 0.15
    return np.column_stack([group[:, None] ^ flips, rng.integers(0, 3, rows)]).astype(np.int64)


@given(
    n=st.integers(1, 5),
    rows=st.integers(1, 60),
    min_rows=st.integers(1, 20),
    significance=st.sampled_from([0.5, 0.01]),
    pseudocount=st.sampled_from([0.0, 1.0]),
    gaps=st.booleans(),
)
def test_any_data_make_a_distribution(
    n: int, rows: int, min_rows: int, significance: float, pseudocount: float, gaps: bool
) -> None:
    rng = np.random.default_rng(rows)
    x = rng.integers(0, 3, (rows, n)).astype(np.float64)
    if gaps:
        x[rng.random(x.shape) < 0.3] = np.nan
    circuit = learn_spn(
        x,
        [categorical(f"c{i}", 3) for i in range(n)],
        min_rows=min_rows,
        significance=significance,
        pseudocount=pseudocount,
    )
    assert findings(circuit) == ()
    assert total_mass(circuit) == pytest.approx(1.0, rel=1e-9)


def test_clusters_and_independence_are_found() -> None:
    x = clusters(2000)
    circuit = learn_spn(x)
    root = circuit.operands_of(circuit.root)
    assert circuit.kind[circuit.root] == Kind.PRODUCT  # splits off the last column
    scopes = sorted(circuit.scopes.variables(int(node)).tolist() for node in root)
    assert scopes == [[0, 1, 2, 3], [4]]
    held_out = clusters(2000, seed=1)
    assert mean(circuit, held_out) > mean(chow_liu(x), held_out)
    assert learn_spn(x) == circuit


def test_alike_rows_are_a_leaf() -> None:
    circuit = learn_spn(np.ones((200, 3), np.int64), pseudocount=0.0)
    assert circuit.statistics.kinds == {
        "input": 3,
        "product": 1,
        "kronecker": 0,
        "sum": 0,
        "mixture": 0,
    }
    assert learn_spn(np.zeros((9, 1), np.int64)).num_nodes == 1


def test_quantiles_of_chi_square() -> None:
    for freedom, tail, want in ((1, 1e-3, 10.828), (9, 1e-3, 27.877), (25, 1e-2, 44.314)):
        found = float(_chi_square(np.array(freedom), tail))
        assert found == pytest.approx(want, rel=0.035)  # as the docstring says


def test_text(golden: Golden) -> None:
    golden(to_text(learn_spn(clusters(40), min_rows=30)))


def test_errors(golden: Golden) -> None:
    table = np.array([[0, 1], [1, 0]])
    attempts: list[Callable[[], Circuit]] = [
        lambda: learn_spn(table, min_rows=0),
        lambda: learn_spn(table, significance=0.0),
        lambda: learn_spn(table, pseudocount=float("nan")),
        lambda: learn_spn(table, [binary("a"), real("b")]),
        lambda: learn_spn(table, [binary("a")]),
    ]
    golden(refusals(attempts, (OptionError, DataError)))
