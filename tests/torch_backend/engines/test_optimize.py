"""Rewritings that compile(optimize="auto") considers, takes and proves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

import pccompiler as pc
from pccompiler.errors import CircuitError, OptionError
from pccompiler.imports.read import read
from pccompiler.ir import Circuit
from pccompiler.passes.analysis.equivalence import log_values
from pccompiler.testing import random_weights
from pccompiler.testing.scalars import to_scalars
from pccompiler.testing.strategies import circuits
from pccompiler.torch_backend.engines import optimize as module
from pccompiler.torch_backend.engines.base import Target
from pccompiler.torch_backend.engines.optimize import PIPELINES, optimize, random_rows

TARGET = Target(torch.device("cpu"), torch.float32)


def test_a_circuit_with_equal_parts_is_rewritten(sample: Callable[[str], Path]) -> None:
    circuit = read(sample("nltcs.psdd"))
    model = pc.compile(circuit, optimize="auto", dtype="float64")
    own = pc.compile(circuit, dtype="float64")
    record = model.optimization
    assert record is not None
    assert record.chosen.passes in PIPELINES
    assert record.chosen.proof == "equal on 32 random rows, in float64"
    assert model.circuit.num_nodes < circuit.num_nodes
    costs = [each.cost for each in record.considered]
    assert len(costs) == 4
    assert record.chosen.cost == min(costs) <= 0.75 * costs[0]
    rows = random_rows(circuit, 20)
    torch.testing.assert_close(model.log_likelihood(rows), own.log_likelihood(rows))
    text = str(pc.explain(model))
    assert "Chosen because it saves" in text
    assert "chosen, equal on 32 random rows" in text
    assert "rewriting" not in str(pc.explain(own))


def test_little_to_gain_is_left_alone() -> None:
    plain = pc.rat_spn(6, 2, 3, seed=0)
    circuit = plain.with_values(random_weights(plain, 0))
    model = pc.compile(circuit, optimize="auto")
    record = model.optimization
    assert record is not None
    assert record.chosen == record.considered[0]
    assert "no rewriting saves a quarter" in record.reason
    assert model.circuit.num_nodes == circuit.num_nodes


def test_weights_that_are_trained_or_generated_are_left_alone() -> None:
    trained = pc.compile(pc.hmm(4, 3), optimize="auto").optimization
    made = pc.compile(pc.rat_spn(6, 2, 3), pc.Hypernetwork(), optimize="auto").optimization
    assert trained is not None
    assert made is not None
    assert "weights have no given values" in trained.reason
    assert "weights" in made.reason
    assert trained.chosen.passes == made.chosen.passes == ""
    circuit = pc.rat_spn(6, 2, 3).with_values(random_weights(pc.rat_spn(6, 2, 3), 0))
    cut = pc.compile(circuit, sectors=pc.Sectors(by="rows"), optimize="auto").optimization
    assert cut is not None
    assert cut.reason == "its weights are generated"


@settings(max_examples=25)
@given(circuits(reals=True))
def test_values_never_change(circuit: Circuit) -> None:
    given = circuit.with_values(random_weights(circuit, 0))
    for each in (given, to_scalars(given)):
        found, record = optimize(each, TARGET)
        assert record.chosen in record.considered
        assert record.chosen.cost <= record.considered[0].cost
        rows = random_rows(each, 5)
        before, after = (
            pc.compile(c, dtype="float64").log_likelihood(rows, check=False).detach().cpu().numpy()
            for c in (each, found)
        )
        np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)


def test_a_wrong_pass_is_found(
    sample: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    circuit = read(sample("nltcs.psdd"))
    values = log_values

    def wrong(given: Circuit, rows: np.ndarray) -> np.ndarray:
        return values(given, rows) + (1e-6 if given.num_nodes < circuit.num_nodes else 0.0)

    monkeypatch.setattr(module, "log_values", wrong)
    with pytest.raises(CircuitError, match="changed the meaning"):
        optimize(circuit, TARGET)


def test_unknown_ways_are_refused() -> None:
    with pytest.raises(OptionError, match="optimize"):
        pc.compile(pc.hmm(4, 3), optimize="fast")  # type: ignore[call-overload]
