"""Rows that an exported model accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pccompiler as pc
from pccompiler.errors import DataError


def test_rows_by_name_and_no_rows(tmp_path: Path) -> None:
    model = pc.compile(pc.rat_spn(3, 2, 2))
    pc.export_onnx(model, tmp_path / "model.onnx")
    exported = pc.OnnxModel(tmp_path / "model.onnx")
    rows = np.array([[0, 1, np.nan], [1, np.nan, 0]])
    want = exported.log_likelihood(rows)
    dicts = [{"x0": 0, "x1": 1}, {"x2": 0, "x0": 1, "x1": None}]
    others: list[Any] = [dicts, rows.tolist(), [[0, 1, None], [1, None, 0]], rows[::-1][::-1]]
    for given in others:
        np.testing.assert_array_equal(exported.log_likelihood(given), want)
    empties: list[Any] = [[], np.zeros((0, 3))]
    for empty in empties:
        assert exported.log_likelihood(empty).shape == (0,)
    with pytest.raises(DataError, match="PC452"):
        exported.log_likelihood([["0", "1", "0"]])


def test_frames_by_name(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pc.export_onnx(pc.compile(pc.rat_spn(3, 2, 2)), tmp_path / "model.onnx")
    exported = pc.OnnxModel(tmp_path / "model.onnx")
    frame: Any = pd.DataFrame({"x2": [0, 1], "x0": [1, 1], "x1": [0, None]})
    want = exported.log_likelihood(np.array([[1, 0, 0], [1, np.nan, 1]]))
    np.testing.assert_array_equal(exported.log_likelihood(frame), want)
    with pytest.raises(DataError, match="PC450"):
        exported.log_likelihood(frame[["x0", "x1"]])
