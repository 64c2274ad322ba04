"""ONNX files changed by disks, transfers and other programs: refused, or answered as before."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from pccompiler.errors import ExportError
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.onnx_backend import OnnxModel, export
from pccompiler.onnx_backend.digest import KEY
from pccompiler.passes import plan
from pccompiler.structures import rat_spn
from pccompiler.testing.mutants import damage

X = np.array([[0, 1, 1], [1, np.nan, 0], [np.nan, np.nan, np.nan]])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    lowered = plan(rat_spn(3, 2, 2))
    rng = np.random.default_rng(0)
    parameters = {n: rng.normal(size=s) for n, s in lay_out(lowered).shapes.items()}
    return export(lowered, parameters, tmp_path / "m.onnx", metadata={"owner": "me"}).path


def edited(path: Path, **entries: str | None) -> Path:
    """The file rewritten by onnx with changed metadata; ``None`` drops an entry."""
    model = onnx.load(path)
    found = {entry.key: entry.value for entry in model.metadata_props}
    found |= {name.replace("_", "."): value for name, value in entries.items()}
    onnx.helper.set_model_props(model, {k: v for k, v in found.items() if v is not None})
    onnx.save(model, path)
    return path


def test_random_damage_is_refused_or_changes_nothing(path: Path) -> None:
    content, before = path.read_bytes(), OnnxModel(path).log_likelihood(X)
    refused = 0
    for seed in range(400):
        path.write_bytes(damage(content, np.random.default_rng(seed)))
        try:
            np.testing.assert_array_equal(OnnxModel(path).log_likelihood(X), before)
        except ExportError:
            refused += 1
    assert refused > 390


def test_a_changed_weight_is_refused(path: Path) -> None:
    model = onnx.load(path)
    tensor = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
    tensor.raw_data = bytes(len(tensor.raw_data))
    onnx.save(model, path)
    with pytest.raises(ExportError, match="PC615"):
        OnnxModel(path)


def test_files_of_older_versions_are_read_and_said_to_be_unverified(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = OnnxModel(path).log_likelihood(X)
    with caplog.at_level(logging.INFO):
        after = OnnxModel(edited(path, pccompiler_digest=None)).log_likelihood(X)
    np.testing.assert_array_equal(after, before)
    assert "has no digest" in caplog.text


def test_a_damaged_name_of_the_digest_does_not_make_an_older_file(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(KEY.encode(), b"pccompiler.digesu"))
    with pytest.raises(ExportError, match="PC615"):
        OnnxModel(path)


VARIABLE = {"name": "x0", "domain": "binary", "cardinality": 2, "edges": []}
REST = [{**VARIABLE, "name": "x1"}, {**VARIABLE, "name": "x2"}]


@pytest.mark.parametrize(
    "variables",
    [
        "null", "7", '"x"', "{}", "[]", "[null, null, null]", "[[], [], []]",
        "[" * 50_000, "[" + "1" * 5000 + "]", json.dumps(REST),
        json.dumps([VARIABLE, *REST, *REST]),
        *(json.dumps([{**VARIABLE, **change}, *REST]) for change in (
            {"name": 3}, {"name": ["x"]}, {"name": "a b"}, {"domain": None}, {"domain": ["real"]},
            {"domain": "complex"}, {"cardinality": "2"}, {"cardinality": 2.0}, {"cardinality": -1},
            {"cardinality": True}, {"cardinality": 3}, {"domain": "real"},
            {"domain": "categorical", "cardinality": 0},
            {"domain": "real", "cardinality": 0, "edges": 4},
            {"domain": "real", "cardinality": 0, "edges": [1.0, "y"]},
            {"domain": "real", "cardinality": 0, "edges": [1.0, 0.0]},
        )),
    ],
)  # fmt: skip
def test_odd_metadata_is_refused(path: Path, variables: str) -> None:
    edited(path, pccompiler_digest=None, pccompiler_variables=variables)
    with pytest.raises(ExportError, match="PC606"):
        OnnxModel(path)


def test_answers_that_are_no_likelihoods_are_refused(path: Path) -> None:
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.raw_data) > 8:
            tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, "<f4").tobytes()
    onnx.save(model, path)
    damaged = OnnxModel(edited(path, pccompiler_digest=None))
    with pytest.raises(ExportError, match=r"PC616.*row 0 is NaN"):
        damaged.log_likelihood(X)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for odd in (tmp_path / "pipe.onnx", tmp_path, tmp_path / "a\0b.onnx", tmp_path / ("n" * 999)):
        with pytest.raises(ExportError, match="PC605"):
            OnnxModel(odd)
