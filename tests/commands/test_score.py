"""``pccompiler score``: rows of files, batch by batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import pccompiler as pc
from pccompiler.commands.score import score
from pccompiler.datasets.csv_table import read_csv
from pccompiler.errors import DataError, OptionError
from pccompiler.ir import write_circuit


def call(*arguments: object) -> str:
    app = typer.Typer()
    app.command()(score)
    found = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


@pytest.mark.parametrize("data", ["x.csv", "x.npy"])
@pytest.mark.parametrize("name", ["a.pcir", "model"])
def test_scores(tmp_path: Path, name: str, data: str) -> None:
    circuit = pc.compile(pc.rat_spn(5, 2, 2), dtype="float64").trained_circuit()
    model = pc.compile(circuit, dtype="float64")
    write_circuit(circuit, tmp_path / "a.pcir", weights="file")
    pc.save(model, tmp_path / "model")
    x = np.array([[1, 0, 0, 1, 1], [0, np.nan, 1, 1, 0], [np.nan] * 5])
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "x.csv").write_text("a,b,c,d,e\n1,0,0,1,1\n0,,1,1,0\n,,,,nan\n")
    want = model.log_likelihood(x).detach().numpy()
    said = call(tmp_path / name, tmp_path / data, "--out", tmp_path / "s.npy", "--batch-size", 2)
    np.testing.assert_allclose(np.load(tmp_path / "s.npy"), want, rtol=1e-12, atol=1e-12)
    assert f"3 rows, mean log-likelihood {want.mean():.6f} nats" in said
    call(tmp_path / name, tmp_path / data, "--out", tmp_path / "s.csv")
    found = read_csv(tmp_path / "s.csv").values[:, 0]
    np.testing.assert_allclose(found, want, rtol=1e-12, atol=1e-12)


def test_refusals(tmp_path: Path) -> None:
    circuit = pc.compile(pc.rat_spn(5, 2, 2), dtype="float64").trained_circuit()
    write_circuit(circuit, tmp_path / "a.pcir", weights="file")
    np.save(tmp_path / "x.npy", np.zeros((3, 4)))
    with pytest.raises(OptionError, match="PC366"):
        call(tmp_path / "a.pcir", tmp_path / "x.npy", "--out", tmp_path / "s.txt")
    with pytest.raises(DataError, match="PC400"):
        call(tmp_path / "a.pcir", tmp_path / "x.npy", "--out", tmp_path / "s.npy")
    assert not (tmp_path / "s.npy").exists()
