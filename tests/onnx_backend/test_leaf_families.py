"""Every leaf family in an exported file, against the oracle."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import pccompiler as pc
from pccompiler.errors import DataError
from pccompiler.ir import Builder, Circuit, Family, Variable, binary, categorical, count, real
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.onnx_backend import OnnxModel
from pccompiler.testing import random_circuit, random_weights, with_values
from pccompiler.testing.strategies import rows

Kind = Literal["compact", "materialized"]
BOTH = pytest.mark.parametrize("weights", ["compact", "materialized"])
FAMILIES: dict[Family, tuple[Variable, ...]] = {
    Family.BERNOULLI: (binary("b"), binary("bb")),
    Family.CATEGORICAL: (categorical("c", 4), categorical("cc", 4)),
    Family.GAUSSIAN: (real("g"), real("gg")),
    Family.BINOMIAL: (categorical("n", 6), categorical("nn", 9)),
    Family.POISSON: (count("k"), count("kk")),
    Family.LAPLACE: (real("l"), real("ll")),
    Family.HISTOGRAM: (real("h", [-2, -0.5, 0.1, 1.5]), real("hh", [0, 1, 5, 6])),
}


def mixture(families: tuple[Family, ...], components: int = 3) -> Circuit:
    b = Builder([variable for f in families for variable in FAMILIES[f]])
    leaves = [
        int(b.inputs([2 * i + j], f, components)[0]) for i, f in enumerate(families) for j in (0, 1)
    ]
    return b.build(b.sum([b.product(leaves)], 1))


def worst(model: pc.CompiledCircuit, path: Path, x: np.ndarray) -> float:
    parameters = model.parameters_as_numpy()
    rounded = x.astype(np.float32).astype(np.float64)
    want = log_likelihood(
        model.plan, materialize(model.plan, model.weights.layout, parameters), rounded
    )
    got = OnnxModel(path).log_likelihood(rounded)
    assert (np.isneginf(got) == np.isneginf(want)).all()
    seen = np.isfinite(want)
    errors = np.abs(got[seen] - want[seen]) / np.maximum(1.0, np.abs(want[seen]))
    return float(np.max(errors, initial=0.0))


@BOTH
@pytest.mark.parametrize("given_values", [False, True])
@pytest.mark.parametrize("families", [(f,) for f in FAMILIES] + [tuple(FAMILIES)])
def test_families_equal_the_oracle(
    families: tuple[Family, ...], given_values: bool, weights: Kind, tmp_path: Path
) -> None:
    circuit = mixture(families).replace(log_scale=-1.25)
    if given_values:
        circuit = with_values(circuit, random_weights(circuit, 2, zeros=True))
    model = pc.compile(circuit, seed=1)
    path = tmp_path / "m.onnx"
    pc.export_onnx(model, path, weights=weights)
    assert worst(model, path, rows(circuit, 5, 30, 0.3)) < 5e-6


@BOTH
def test_random_circuits(weights: Kind, tmp_path: Path) -> None:
    for seed in range(12):
        circuit = random_circuit(seed, 4, families=tuple(Family), values=seed % 2 == 0)
        model = pc.compile(circuit, seed=seed)
        pc.export_onnx(model, tmp_path / "m.onnx", weights=weights)
        assert worst(model, tmp_path / "m.onnx", rows(circuit, seed)) < 1e-5


@BOTH
def test_counts_beyond_the_table_of_factorials(weights: Kind, tmp_path: Path) -> None:
    circuit = mixture((Family.POISSON,), 1)
    values = {0: np.array([[150.0]]), 1: np.array([[3e6]])}
    model = pc.compile(with_values(circuit, {**values, 2: np.array([[1.0]])}))
    pc.export_onnx(model, tmp_path / "m.onnx", weights=weights)
    low = np.concatenate([np.arange(40, 90), [0, 1, 1e3, 1e7]])
    high = np.full(len(low), 3e6) + np.arange(len(low)) * 100
    assert worst(model, tmp_path / "m.onnx", np.stack([low, high], axis=1)) < 2e-6


def test_edges_and_values_outside(tmp_path: Path) -> None:
    b = Builder([real("h", [0.1, 0.2, 0.4])])
    circuit = b.build(int(b.inputs([0], Family.HISTOGRAM, 1)[0]))
    model = pc.compile(with_values(circuit, {0: np.array([[0.25, 0.75]])}))
    pc.export_onnx(model, tmp_path / "m.onnx")
    x = [[0.1], [0.2], [0.4], [0.0999], [0.41], [math.nan]]
    got = np.exp(OnnxModel(tmp_path / "m.onnx").log_likelihood(x))
    assert got.tolist() == pytest.approx([2.5, 3.75, 3.75, 0.0, 0.0, 1.0], rel=1e-6)


@pytest.mark.parametrize("value", [-1.0, 1.5])
def test_files_refuse_what_is_no_count(value: float, tmp_path: Path) -> None:
    pc.export_onnx(pc.compile(mixture((Family.POISSON,), 2)), tmp_path / "m.onnx")
    with pytest.raises(DataError, match="not a value of variable 'k'"):
        OnnxModel(tmp_path / "m.onnx").log_likelihood([[value, 1.0]])
