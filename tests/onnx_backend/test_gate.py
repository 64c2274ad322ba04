"""The gate of the export: correct files pass, planted faults do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

import pccompiler as pc
from pccompiler import structures
from pccompiler.errors import ExportError
from pccompiler.ir import Builder, Circuit, Direct, Hypernetwork, categorical, real
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.plan.rounding import bounded_log_likelihood
from pccompiler.onnx_backend import OnnxModel
from pccompiler.onnx_backend.exporter import build, compare, random_rows
from pccompiler.onnx_backend.session import run_rows, start_session
from pccompiler.passes import plan
from pccompiler.testing.random_circuits import random_circuit
from pccompiler.testing.scalars import to_scalars

Float = NDArray[np.float64]
CPU = ("CPUExecutionProvider",)


def chained(rows: int = 200) -> Float:
    """Rows of 16 binary values, each correlated with the previous one."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (rows, 16))
    for column in range(1, 16):
        x[:, column] = np.where(rng.random(rows) < 0.7, x[:, column - 1], x[:, column])
    return x.astype(np.float64)


REALS = [real(f"r{i}") for i in range(16)]
FOURS = [categorical(f"p{i}", 4) for i in range(16)]
STRUCTURES: dict[str, Callable[[], Circuit]] = {
    "rat_spn": lambda: pc.rat_spn(16, 4, 6),
    "hmm": lambda: pc.hmm(16, 6),
    "hmm, real": lambda: pc.hmm(REALS, 6),
    "hclt": lambda: structures.hclt(chained().astype(np.int64), 6),
    "quad_tree": lambda: structures.quad_tree(4, 4, 6, variables=FOURS),
    "quad_graph, real": lambda: structures.quad_graph(4, 4, 6, variables=REALS),
    "poon_domingos": lambda: structures.poon_domingos(4, 4, 4, variables=FOURS),
    "learn_spn": lambda: structures.learn_spn(chained().astype(np.int64)),
    "random tree": lambda: structures.random_tree(16, units=4),
    "naive_bayes": lambda: structures.naive_bayes_mixture(16, 4),
    "mixture": lambda: structures.mixture_of([pc.rat_spn(16, 2, 3), pc.hmm(16, 3)]),
    "scalar": lambda: to_scalars(random_circuit(7, 6)),
}
GENERATED = ("rat_spn", "hclt", "quad_tree", "poon_domingos")
CASES = [(name, False) for name in STRUCTURES] + [(name, True) for name in GENERATED]


def trained(name: str, generated: bool) -> pc.CompiledCircuit:
    circuit = STRUCTURES[name]()
    model = pc.compile(circuit, Hypernetwork() if generated else None)
    x = chained()[:, : len(circuit.variables)]
    if "real" in name:
        x = x + np.random.default_rng(1).normal(size=x.shape)
    if generated:
        pc.fit(model, x, steps=20, progress=False)
    else:
        pc.fit_em(model, x, iterations=3, progress=False)
    return model


def lowered(model: pc.CompiledCircuit) -> tuple[Plan, dict[str, NDArray[np.floating]]]:
    return plan(model.circuit, numerics=model.numerics), model.parameters_as_numpy()


@pytest.mark.parametrize("weights", ["compact", "materialized"])
@pytest.mark.parametrize(("name", "generated"), CASES)
def test_trained_models_export(name: str, generated: bool, weights: str, tmp_path: Path) -> None:
    """The bound leaves some room, but not enough to hide faults."""
    model = trained(name, generated)
    report = pc.export_onnx(model, tmp_path / "m.onnx", weights=weights)  # type: ignore[arg-type]
    assert report.max_error_in_bounds < 0.5
    low, parameters = lowered(model)
    weights_ = materialize(low, lay_out(low), parameters)
    rows = random_rows(low, 3, 30).astype(np.float32).astype(np.float64)
    want, bounds = bounded_log_likelihood(low, weights_, rows)
    np.testing.assert_array_equal(want, log_likelihood(low, weights_, rows))
    finite = np.isfinite(want)
    assert (bounds[finite] < 3e-6 * np.maximum(20.0, np.abs(want[finite]))).all()
    got = OnnxModel(tmp_path / "m.onnx").log_likelihood(rows)
    assert (np.abs(got - want)[finite] <= bounds[finite]).all()
    assert (got[~finite] == want[~finite]).all()


def planted(model: onnx.ModelProto, entry: tuple[int, int], change: float) -> bytes:
    """The file with one number of one float32 constant times ``1 + change``."""
    skewed = onnx.ModelProto()
    skewed.CopyFrom(model)
    tensor = skewed.graph.initializer[entry[0]]
    array = numpy_helper.to_array(tensor).astype(np.float64)
    array.flat[entry[1]] *= 1.0 + change
    tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), tensor.name))
    blob: bytes = skewed.SerializeToString()
    return blob


def faults(model: onnx.ModelProto, number: int) -> list[tuple[int, int]]:
    """Some numbers among the file's float32 constants, at random."""
    rng = np.random.default_rng(0)
    found: list[tuple[int, int]] = []
    tensors = [
        (i, numpy_helper.to_array(t))
        for i, t in enumerate(model.graph.initializer)
        if t.data_type == onnx.TensorProto.FLOAT
    ]
    for _ in range(number):
        place, array = tensors[int(rng.integers(len(tensors)))]
        found.append((place, int(rng.integers(array.size))))
    return found


@pytest.mark.parametrize(("name", "generated"), CASES)
def test_planted_faults_are_refused(name: str, generated: bool) -> None:
    """A fault that changes a row by ten times its bound; smaller ones may look like rounding."""
    model = trained(name, generated)
    low, parameters = lowered(model)
    rows = random_rows(low, 0, 24).astype(np.float32).astype(np.float64)
    good = build(low, parameters, compact=True)
    sound = run_rows(start_session(good.SerializeToString(), CPU), rows, 100)
    _, bounds = bounded_log_likelihood(low, materialize(low, lay_out(low), parameters), rows)
    tried = 0
    for entry in faults(good, 20):
        for change in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
            blob = planted(good, entry, change)
            with np.errstate(invalid="ignore"):
                moved = np.abs(run_rows(start_session(blob, CPU), rows, 100) - sound)
            if (moved > 10.0 * bounds).any():
                with pytest.raises(ExportError, match="PC601"):
                    compare(blob, low, parameters, rows)
                tried += 1
                break
    assert tried >= 3


def test_a_row_without_values_is_exact() -> None:
    """784 tables of 256 states, summed sequentially, would have an error above 1e-5 nats."""
    b = Builder([categorical(f"p{i}", 256) for i in range(784)])
    tables = np.random.default_rng(0).dirichlet(np.full(256, 0.3), 784)
    b_root = b.product([b.categorical(i, tables[i][None]) for i in range(784)])
    low = plan(b.build(b_root).replace(generator=Direct()))
    parameters = {n: np.log(tables[:, None]) for n in lay_out(low).shapes}
    blob = build(low, parameters, compact=True).SerializeToString()
    assert run_rows(start_session(blob, CPU), np.full((1, 784), np.nan), 1).tolist() == [0.0]


def test_a_bernoulli_far_from_half_is_exact() -> None:
    """The oracle's own probabilities keep their digits: 1e-17 does not become 0."""
    b = Builder()
    circuit = b.build(b.bernoulli(b.binary("x"), [0.5]))
    low = plan(circuit.replace(generator=Direct(floor=0.0)))
    (name,) = lay_out(low).shapes
    for logit in (-105.9, -40.0, -1.0, 30.0):
        weights = materialize(low, lay_out(low), {name: np.full((1, 1, 1), logit)})
        value = log_likelihood(low, weights, [[1.0]])
        assert value == pytest.approx(-np.logaddexp(0.0, -logit), rel=1e-14)
