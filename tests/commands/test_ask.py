"""``pccompiler sample``, ``complete`` and ``marginals``."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pccompiler as pc
from pccompiler.ir import write_circuit

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(name="model")
def _model(tmp_path: Path) -> Path:
    circuit = pc.compile(pc.rat_spn(5, 2, 2), dtype="float64").trained_circuit()
    write_circuit(circuit, tmp_path / "a.pcir", weights="file")
    pc.save(pc.compile(circuit, dtype="float64"), tmp_path / "model")
    (tmp_path / "rows.csv").write_text("a,b,c,d,e\n1,,0,,1\n,,,,\n")
    return tmp_path


def table(text: str) -> tuple[list[str], np.ndarray]:
    names, *rows = csv.reader(io.StringIO(text))
    return names, np.array(rows, np.float64)


@pytest.mark.parametrize("name", ["a.pcir", "model"])
def test_samples(run: Run, model: Path, name: str) -> None:
    code, out, _ = run("sample", model / name, 4, "--seed", 1)
    assert code == 0
    names, rows = table(out)
    assert names == [f"x{i}" for i in range(5)]
    assert rows.shape == (4, 5)
    assert run("sample", model / name, 4, "--seed", 1)[1] == out
    code, out, _ = run("sample", model / name, 3, "--given", model / "rows.csv")
    rows = table(out)[1]
    assert rows.shape == (6, 5)
    assert (rows[:3, [0, 2, 4]] == [1, 0, 1]).all()


def test_completions_and_marginals(run: Run, model: Path) -> None:
    code, out, errors = run("complete", model / "a.pcir", model / "rows.csv")
    assert code == 0
    assert "max-product" in errors
    names, rows = table(out)
    assert names[-1] == "log_density"
    assert (rows[0, [0, 2, 4]] == [1, 0, 1]).all()
    code, out, _ = run("marginals", model / "model", model / "rows.csv", "--out", model / "m.csv")
    assert (code, out) == (0, "")
    names, rows = table((model / "m.csv").read_text())
    assert (rows[0, [0, 2, 4]] == [1, 0, 1]).all()
    assert rows[1, -1] == pytest.approx(0.0, abs=1e-6)
    assert ((rows[:, :5] >= 0) & (rows[:, :5] <= 1)).all()


def test_bad_rows_are_told(run: Run, model: Path) -> None:
    (model / "bad.csv").write_text("a,b,c,d,e\n1,7,0,,1\n")
    code, _, errors = run("marginals", model / "model", model / "bad.csv")
    assert code == 1
    assert "PC401" in errors
