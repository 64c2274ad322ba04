"""Packed plans in ONNX: ragged sums in padded tables, against the oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings

import pccompiler as pc
from pccompiler.ir import Circuit, Hypernetwork
from pccompiler.onnx_backend import OnnxModel
from pccompiler.onnx_backend.ragged import buckets
from pccompiler.testing.random_circuits import random_circuit
from pccompiler.testing.scalars import to_scalars
from pccompiler.testing.strategies import circuits
from pccompiler.testing.strategies import rows as random_rows

BOTH = pytest.mark.parametrize("weights", ["compact", "materialized"])


def check(circuit: Circuit, path: Path, weights: Literal["compact", "materialized"]) -> None:
    """The file's answers are those of the float64 module."""
    model = pc.compile(circuit)
    pc.export_onnx(model, path, weights=weights)
    x = random_rows(circuit, 0, number=30)
    want = pc.compile(circuit, dtype="float64").log_likelihood(x).detach().numpy()
    got = OnnxModel(path).log_likelihood(x)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


@settings(max_examples=12)
@given(circuit=circuits())
def test_scalar_circuits(circuit: Circuit, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(to_scalars(circuit), tmp_path_factory.mktemp("x") / "m.onnx", "compact")


@BOTH
@pytest.mark.parametrize("seed", range(4))
def test_packed_plans(
    seed: int, weights: Literal["compact", "materialized"], tmp_path: Path
) -> None:
    found = (to_scalars(random_circuit(100 * seed + i, 6)) for i in range(40))
    scalar = next(c for c in found if pc.compile(c).plan.packed and len(c) > 40)
    check(scalar, tmp_path / "m.onnx", weights)


@BOTH
def test_generated_weights(weights: Literal["compact", "materialized"], tmp_path: Path) -> None:
    found = (to_scalars(random_circuit(i, 5)).with_values({}) for i in range(40))
    circuit = next(c for c in found if pc.compile(c).plan.packed)
    model = pc.compile(circuit, Hypernetwork(embedding=2, hidden=(3,)))
    pc.export_onnx(model, tmp_path / "m.onnx", weights=weights)
    x = random_rows(circuit, 0, number=30)
    want = model.log_likelihood(x).detach().numpy()
    got = OnnxModel(tmp_path / "m.onnx").log_likelihood(x)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5)


def test_buckets_are_few_and_padding_is_little() -> None:
    parts = [(1000, 2), (500, 3), (200, 4), (100, 5), *((1, n) for n in range(6, 60)), (1, 5000)]
    made = buckets(parts)
    assert [number for bucket in made for number in bucket] == list(range(len(parts)))
    assert len(made) <= 10
    for bucket in made:
        true = sum(parts[n][0] * parts[n][1] for n in bucket)
        padded = sum(parts[n][0] for n in bucket) * parts[bucket[-1]][1]
        assert padded - true <= true // 4 + 256
