"""Constants go up: rows that sum to one, the rest in the scale, and the same function."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import CircuitError
from pccompiler.ir import Builder, Circuit, Kind
from pccompiler.passes.rewriting.constants import normalize, rescaled
from pccompiler.passes.rewriting.editor import Draft
from pccompiler.testing import density, random_circuit, worlds


def scaled(circuit: Circuit, seed: int) -> Circuit:
    """The circuit with sum weights that do not sum to one."""
    rng = np.random.default_rng(seed)
    sums = np.unique(circuit.weight[np.isin(circuit.kind, (Kind.SUM, Kind.MIXTURE))]).tolist()
    tables = circuit.weights.values
    more = {w: tables[w] * rng.uniform(0.1, 5.0, (len(tables[w]), 1)) for w in sums}
    return circuit.with_values({**tables, **more})


@given(st.integers(0, 10_000))
def test_the_function_stays(seed: int) -> None:
    circuit = scaled(random_circuit(seed, max_variables=3), seed)
    result = normalize(circuit)
    for world in worlds(circuit):
        assert density(result, world) == pytest.approx(density(circuit, world), rel=1e-9)
    for node in np.flatnonzero(np.isin(result.kind, (Kind.SUM, Kind.MIXTURE))).tolist():
        rows = result.weights.values[int(result.weight[node])].sum(axis=1)
        np.testing.assert_allclose(rows, 1.0, rtol=1e-9)
    assert normalize(result) == result


def test_a_row_takes_in_the_constants_of_its_inputs() -> None:
    logs, rows = rescaled(np.array([[1.0, 3.0], [0.0, 0.0]]), np.log([[2.0, 1.0]]))
    np.testing.assert_allclose(logs, [np.log(5.0), -np.inf])
    np.testing.assert_allclose(rows, [[0.4, 0.6], [0.5, 0.5]])


def test_a_function_that_is_0_is_refused() -> None:
    b = Builder()
    leaf = b.bernoulli(b.binary("x"), [0.5])
    circuit = b.build(b.sum([leaf], weights=[[0.0]]))
    with pytest.raises(CircuitError, match="PC140"):
        normalize(circuit)


def test_an_editor_without_edits_gives_the_circuit_back() -> None:
    circuit = random_circuit(0)
    assert Draft(circuit).finish() is circuit
