"""Refused exports and calls: the error text, and no file left behind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from pccompiler.errors import PCCompilerError
from pccompiler.ir import real
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.plan.rounding import bounded_log_likelihood
from pccompiler.onnx_backend import OnnxModel, export
from pccompiler.onnx_backend.queries import LOG_LIKELIHOOD, QUERIES
from pccompiler.passes import plan
from pccompiler.structures import naive_bayes_mixture, rat_spn

Golden = Callable[[str], None]


@pytest.fixture
def lowered() -> Plan:
    return plan(rat_spn(4, 1, 2))


def zeros(lowered: Plan) -> dict[str, np.ndarray]:
    return {n: np.zeros(s, np.float32) for n, s in lay_out(lowered).shapes.items()}


def message(attempt: Callable[[], object], tmp_path: Path) -> str:
    with pytest.raises(PCCompilerError) as caught:
        attempt()
    return str(caught.value).replace(str(tmp_path), "DIR")


@pytest.fixture
def wrong_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*arguments: object) -> tuple[np.ndarray, np.ndarray]:
        values, bounds = bounded_log_likelihood(*arguments)  # type: ignore[arg-type]  # as they are
        values[5] *= 1.001
        return values, bounds

    query = replace(LOG_LIKELIHOOD, define=wrong)
    monkeypatch.setitem(QUERIES._own, "log_likelihood", query)


@pytest.mark.usefixtures("wrong_oracle")
def test_answers_that_differ(lowered: Plan, tmp_path: Path, golden: Golden) -> None:
    golden(message(lambda: export(lowered, zeros(lowered), tmp_path / "m.onnx"), tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("wrong_oracle")
def test_a_refused_export_leaves_the_old_file(lowered: Plan, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"old")
    message(lambda: export(lowered, zeros(lowered), tmp_path / "m.onnx"), tmp_path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("m.onnx", b"old")]


def test_wrong_weights_are_noticed(
    lowered: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check compares the file with the parameters, not with what the file was made from."""
    real = onnx.numpy_helper.from_array

    def skewed(array: np.ndarray, name: str) -> onnx.TensorProto:
        off = array * np.float32(1.01) if name.startswith("weights_") else array
        return real(off, name)

    monkeypatch.setattr("pccompiler.onnx_backend.graph.numpy_helper.from_array", skewed)
    path = tmp_path / "m.onnx"
    attempt = lambda: export(lowered, zeros(lowered), path, weights="materialized")  # noqa: E731
    assert "PC601" in message(attempt, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_exports(lowered: Plan, tmp_path: Path, golden: Golden) -> None:
    good, path = zeros(lowered), tmp_path / "m.onnx"
    name, table = next(iter(good.items()))
    nan = {**good, name: np.full_like(table, np.nan)}
    other = {**{n: v for n, v in good.items() if n != name}, "extra": table}
    attempts: list[Callable[[], object]] = [
        lambda: export(lowered, other, path),
        lambda: export(lowered, {**good, name: table[..., :1]}, path),
        lambda: export(lowered, nan, path),
        lambda: export(lowered, good, path, metadata={"pccompiler.variables": "[]"}),
        lambda: export(lowered, good, path, rows_to_check=2),
        lambda: export(lowered, good, tmp_path),
    ]
    golden("\n".join(message(attempt, tmp_path) for attempt in attempts))
    assert list(tmp_path.iterdir()) == []


def test_weights_beyond_two_gibibytes(
    lowered: Plan, tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pccompiler.onnx_backend.graph.MOST_BYTES", 100)
    golden(message(lambda: export(lowered, zeros(lowered), tmp_path / "m.onnx"), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_reading(
    lowered: Plan, tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = export(lowered, zeros(lowered), tmp_path / "m.onnx").path
    model = onnx.load(path)
    entries = {entry.key: entry.value for entry in model.metadata_props}
    del entries["pccompiler.digest"]
    onnx.helper.set_model_props(model, {**entries, "pccompiler.variables": "{"})
    onnx.save(model, tmp_path / "edited.onnx")
    loaded = OnnxModel(path)
    providers = ["CPUExecutionProvider", "Abacus"]
    messages = [
        message(lambda: OnnxModel(tmp_path / "edited.onnx"), tmp_path),
        message(lambda: loaded.log_likelihood([[0, 1, 0, 1]], batch_size=0), tmp_path),
        message(lambda: loaded.log_likelihood([[0, 1, np.inf, 1]]), tmp_path),
    ]
    absent = message(lambda: OnnxModel(path, providers=providers), tmp_path)
    assert absent.startswith("error[PC302]: ONNX Runtime has no provider 'Abacus' on this machine")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    messages.append(message(lambda: OnnxModel(path), tmp_path))
    golden("\n".join(messages))


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_real_value_is_refused(tmp_path: Path, value: float) -> None:
    lowered = plan(naive_bayes_mixture([real("a"), real("b")], 2))
    export(lowered, zeros(lowered), tmp_path / "m.onnx")
    with pytest.raises(PCCompilerError, match="PC401") as caught:
        OnnxModel(tmp_path / "m.onnx").log_likelihood([[0.0, 1.0], [0.0, value]])
    assert "row 1, column 1" in str(caught.value)
