"""Contents and sizes of files, and reading them back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from pccompiler.ir import Builder, Circuit, Hypernetwork, Sectors, categorical, real
from pccompiler.ir.generators import SectorPolicy
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.sectors import partition
from pccompiler.onnx_backend import OnnxModel, export
from pccompiler.onnx_backend.exporter import random_rows
from pccompiler.passes import plan
from pccompiler.structures import hmm, naive_bayes_mixture, rat_spn


def zeros(lowered: Plan) -> dict[str, np.ndarray]:
    return {n: np.zeros(s, np.float32) for n, s in lay_out(lowered).shapes.items()}


def number_of_weights(path: Path) -> int:
    """Number of floats in the initializers."""
    tensors = onnx.load(path).graph.initializer
    return sum(int(np.prod(t.dims)) for t in tensors if t.data_type == onnx.TensorProto.FLOAT)


def generated(circuit: Circuit, policy: Sectors) -> Plan:
    return plan(partition(circuit, policy).replace(generator=Hypernetwork()))


@pytest.mark.parametrize(("by", "size"), [("block", 1), ("rows", 2), ("size", 7)])
def test_a_compact_file_holds_its_parameters_and_little_else(
    by: SectorPolicy, size: int, tmp_path: Path
) -> None:
    lowered = generated(rat_spn(64, 20, 5), Sectors(by=by, size=size))
    report = export(lowered, zeros(lowered), tmp_path / "m.onnx")
    assert number_of_weights(report.path) <= lay_out(lowered).num_parameters + 20
    assert report.bytes == report.path.stat().st_size
    leaves = 4 * 64 * 20  # the variable of each leaf region, int32
    assert report.bytes < 4 * lay_out(lowered).num_parameters + leaves + 12_000  # nodes, metadata


@pytest.mark.parametrize("weights", ["compact", "materialized"])
def test_shared_weights_are_stored_once(weights: str, tmp_path: Path) -> None:
    lowered = plan(hmm(60, 16))
    export(lowered, zeros(lowered), tmp_path / "m.onnx", weights=weights)  # type: ignore[arg-type]
    # transitions, two states of each emission, the initial distribution, and scalars
    assert number_of_weights(tmp_path / "m.onnx") <= 16 * 16 + 2 * 16 + 16 + 20


def test_parameters_keep_their_names(tmp_path: Path) -> None:
    lowered = generated(rat_spn(8, 2, 3), Sectors())
    export(lowered, zeros(lowered), tmp_path / "m.onnx")
    names = {t.name for t in onnx.load(tmp_path / "m.onnx").graph.initializer}
    assert set(lay_out(lowered).shapes) <= names


def test_weights_that_nothing_uses_are_left_out(tmp_path: Path) -> None:
    b = Builder()
    coin = b.binary("coin")
    b.bernoulli(coin, units=5)  # not below the root
    lowered = plan(b.build(b.sum([b.indicator(coin)], 1)))
    report = export(lowered, zeros(lowered), tmp_path / "m.onnx")
    x = np.array([[0.0], [1.0], [np.nan]])
    want = np.log(np.array([0.5, 0.5, 1.0]))
    np.testing.assert_allclose(OnnxModel(report.path).log_likelihood(x), want)


def test_metadata_and_signature(tmp_path: Path) -> None:
    lowered = plan(naive_bayes_mixture([real("height"), categorical("colour", 4)], 2))
    path = tmp_path / "m.onnx"
    export(lowered, zeros(lowered), path, fingerprint="abc", metadata={"owner": "me"})
    metadata = OnnxModel(path).metadata
    assert metadata["pccompiler.query"] == "log_likelihood"
    assert metadata["pccompiler.fingerprint"] == "abc"
    assert metadata["pccompiler.weights"] == "compact"
    assert metadata["owner"] == "me"
    assert json.loads(metadata["pccompiler.variables"]) == [
        {"name": "height", "domain": "real", "cardinality": 0, "edges": []},
        {"name": "colour", "domain": "categorical", "cardinality": 4, "edges": []},
    ]
    model = onnx.load(path)
    assert (model.ir_version, model.opset_import[0].version) == (9, 18)
    assert "NaN" in model.doc_string
    (output,) = model.graph.output
    assert [d.dim_param for d in output.type.tensor_type.shape.dim] == ["batch"]


def test_the_rows_of_a_check() -> None:
    lowered = plan(naive_bayes_mixture([real("height"), categorical("colour", 4)], 2))
    rows = random_rows(lowered, seed=0)
    assert len(rows) == 64
    assert not np.isnan(rows[:21]).any()
    assert 0 < np.isnan(rows[21:42]).mean() < 0.6
    assert np.isnan(rows[-1]).all()
    assert set(rows[:21, 1]) == {0.0, 1.0, 2.0, 3.0}
    np.testing.assert_array_equal(rows, random_rows(lowered, seed=0))
    assert len(random_rows(lowered, 0, 3)) == 3


def test_fewer_rows_are_checked_of_a_large_circuit(tmp_path: Path) -> None:
    small, large = plan(rat_spn(16, 5, 5)), plan(rat_spn(500, 50, 5))
    assert len(random_rows(small, 0)) == 64
    assert 8 <= len(random_rows(large, 0)) < 64
    report = export(small, zeros(small), tmp_path / "m.onnx", rows_to_check=10)
    assert report.rows_checked == 10


def test_the_provider_can_be_chosen(tmp_path: Path) -> None:
    lowered = plan(rat_spn(4, 1, 2))
    export(lowered, zeros(lowered), tmp_path / "m.onnx")
    model = OnnxModel(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    want = np.log(1 / 16)
    np.testing.assert_allclose(model.log_likelihood([[0, 1, 0, 1]]), [want], rtol=1e-6)
