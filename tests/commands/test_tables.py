"""Files of named columns on the command line: text with any separator, Parquet, standard input."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

import pccompiler as pc
from pccompiler.commands import support
from pccompiler.ir import write_circuit

Run = Callable[..., tuple[int, str, str]]
Golden = Callable[[str], None]
LABELS = ("0", "A", "B")


def garden(number: int = 60) -> pd.DataFrame:
    """Rows of a label, a boolean, a count and a real number, with gaps."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "plant": rng.choice(["fern", "moss", "oak"], number),
            "wet": rng.random(number) < 0.5,
            "visits": rng.poisson(2.0, number),
            "height (m)": rng.normal(3.0, 1.0, number).round(3),
        }
    )
    frame.loc[3, "plant"] = None
    frame.loc[4, "height (m)"] = np.nan
    return frame


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    frame = garden()
    model = pc.compile(pc.naive_bayes_mixture(pc.Schema.infer(frame).variables, 2), seed=3)
    pc.fit_em(model, frame, iterations=2, progress=False)
    pc.save(model, folder / "model")
    frame.to_csv(folder / "rows.csv", index=False)
    frame.to_csv(folder / "semicolon.csv", index=False, sep=";")
    frame.to_csv(folder / "odd.csv", index=False, sep="~")
    frame[frame.columns[::-1]].to_csv(folder / "reversed.tsv", index=False, sep="\t")
    parquet.write_table(pa.Table.from_pandas(frame), folder / "rows.parquet")
    return folder


@pytest.mark.parametrize(
    "data", [["semicolon.csv"], ["odd.csv", "--separator", "~"], ["reversed.tsv"], ["rows.parquet"]]
)
def test_all_files_say_the_same(run: Run, model: Path, data: list[str]) -> None:
    data = [str(model / data[0]), *data[1:]]
    expected = pc.load(model / "model").log_likelihood(garden()).tolist()
    code, out, _ = run("query", model / "model", *data)
    assert code == 0
    np.testing.assert_allclose([float(line) for line in out.split()], expected, atol=1e-5)
    code, _, errors = run("score", model / "model", *data, "--out", model / "scores.npy")
    assert (code, errors) == (0, "")
    np.testing.assert_allclose(np.load(model / "scores.npy"), expected, rtol=1e-6)
    parts = pc.load(model / "model").log_likelihood_stream(model / "rows.parquet", batch_size=7)
    np.testing.assert_allclose(np.concatenate(list(parts)), expected, rtol=1e-6)


@pytest.mark.parametrize("file", ["rows.csv", "rows.parquet"])
def test_standard_input(run: Run, model: Path, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = run("query", model / "model", model / file)[1]
    for command in (["query"], ["score", "--out", str(model / "s.npy")], ["complete"]):
        content = io.TextIOWrapper(io.BytesIO((model / file).read_bytes()))
        monkeypatch.setattr(sys, "stdin", content)
        code, out, _ = run(command[0], model / "model", "-", *command[1:])
        assert code == 0
        assert command != ["query"] or out == expected


def test_answers_have_labels(run: Run, model: Path) -> None:
    (model / "some.csv").write_text("visits;plant;wet\n1;;True\n;moss;\n")
    loaded = pc.load(model / "model")
    _, out, _ = run("complete", model / "model", model / "some.csv")
    found = pd.read_csv(io.StringIO(out))
    evidence = pd.DataFrame({"visits": [1, None], "plant": [None, "moss"], "wet": [True, None]})
    expected: Any = loaded.mpe(evidence).rows
    assert found["plant"].tolist() == expected["plant"].tolist()
    assert found["wet"].tolist() == expected["wet"].tolist()
    _, out, _ = run("marginals", model / "model", model / "some.csv")
    header, *rows = csv.reader(io.StringIO(out))
    assert header == [
        *(f"plant={label}" for label in ("fern", "moss", "oak")),
        "wet", "visits", "height (m)", "log_evidence",
    ]  # fmt: skip
    assert [float(cell) for cell in rows[1][:3]] == [0, 1, 0]
    _, out, _ = run("sample", model / "model", 5, "--seed", 1)
    assert set(pd.read_csv(io.StringIO(out))["plant"]) <= {"fern", "moss", "oak"}
    _, out, _ = run("sample", model / "model", 2, "--given", model / "some.csv")
    assert pd.read_csv(io.StringIO(out))["plant"].tolist()[2:] == ["moss", "moss"]


def test_onnx_files_know_the_labels(run: Run, model: Path) -> None:
    pc.export_onnx(pc.load(model / "model"), model / "m.onnx")
    code, out, _ = run("query", model / "m.onnx", model / "semicolon.csv")
    assert code == 0
    expected = pc.OnnxModel(model / "m.onnx").log_likelihood(garden())
    np.testing.assert_allclose([float(line) for line in out.split()], expected, atol=1e-5)


def test_trains_on_named_columns(run: Run, model: Path) -> None:
    code, out, errors = run(
        "train", "--data", model / "semicolon.csv", "--out", model / "trained", "--steps", 2,
        "--replicas", 1, "--units", 2, "--device", "cpu", "--domain", "visits=real",
        "--domain", "plant=fern,moss,oak,yew",
    )  # fmt: skip
    assert code == 0, errors
    assert "plant       categorical  fern, moss, oak, yew" in out
    schema = pc.load(model / "trained").schema
    assert schema is not None
    assert [v.domain for v in schema.variables] == ["categorical", "binary", "real", "real"]
    assert run("query", model / "trained", model / "rows.parquet")[0] == 0


def test_a_circuit_of_your_own_gets_its_columns_by_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("b,a\n" + "1,0\n" * 10)
    rows = support.load(str(tmp_path / "x.csv"), None)
    circuit = pc.naive_bayes_mixture([pc.ir.binary("a"), pc.ir.binary("b")], 2)
    assert support.arranged(rows, circuit).train[0].tolist() == [0, 1]
    other = pc.naive_bayes_mixture([pc.ir.binary("u"), pc.ir.binary("v")], 2)
    assert support.arranged(rows, other).train[0].tolist() == [1, 0]


def test_labels_may_be_numbers_if_they_are_known(tmp_path: Path) -> None:
    lines = [f"{label},{row}" for row, label in enumerate(LABELS * 9)]
    (tmp_path / "x.csv").write_text("\n".join(["group,n", *lines]))
    rows = support.load(str(tmp_path / "x.csv"), None, None, ["group=0,A,B"])
    assert pc.Schema(rows.declared)["group"].cardinality == 3
    (tmp_path / "y.csv").write_text("group,n\n0,1\n0,2\n")
    schema = pc.Schema(rows.declared)
    found = support.query_rows(str(tmp_path / "y.csv"), None, schema.names, schema.codes)
    assert found.tolist() == [[0, 1], [0, 2]]


def test_errors(run: Run, model: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    (model / "typo.csv").write_text("plant,visits\nfern,1\nmoss,2\noak,x3\n")
    (model / "label.csv").write_text("plant\nfern\nmos\n")
    (model / "more.csv").write_text("plant,color\nfern,red\nmoss,red\n")
    (model / "long.csv").write_text("plant,wet\nfern,1\nmoss,0,3\n")
    (model / "bad.parquet").write_bytes(b"PAR1 and no more")
    (model / "numbers.csv").write_text("1,0\n0,1\n")
    circuit = pc.compile(pc.rat_spn(2, 1, 1), dtype="float64").trained_circuit()
    write_circuit(circuit, model / "own.pcir", weights="file")
    own, trained = model / "own.pcir", ("--out", model / "x", "--device", "cpu")
    texts: list[str] = []
    for command in (
        ("train", "--data", model / "typo.csv", *trained),
        ("train", "--data", model / "rows.csv", *trained, "--domain", "plant"),
        ("train", "--data", model / "rows.csv", *trained, "--domain", "tree=real"),
        ("train", "--data", model / "rows.csv", *trained, "--domain", "plant=count"),
        ("train", "--data", model / "numbers.csv", *trained, "--domain", "x=real"),
        ("complete", model / "model", model / "label.csv"),
        ("complete", model / "model", model / "more.csv"),
        ("complete", model / "model", model / "long.csv"),
        ("complete", model / "model", model / "bad.parquet"),
        ("complete", model / "model", model / "none.parquet"),
        ("query", model / "model", model / "label.csv"),
        ("marginals", own, model / "more.csv"),
        ("query", model / "model", model / "rows.csv", "--separator", ", "),
    ):
        code, _, errors = run(*command)
        assert code == 1
        texts.append(errors.replace(str(model), "DIR"))
    golden("".join(texts))
