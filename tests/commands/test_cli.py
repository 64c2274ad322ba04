"""The command line, run as by a user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Golden = Callable[[str], None]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A .csv of binary columns with a header and missing values."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (200, 4)).astype(str)
    x[rng.random(x.shape) < 0.1] = ""
    lines = ["rain,wet,dry,hot", *(",".join(row) for row in x)]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_first_session(run: Run, table: Path, tmp_path: Path) -> None:
    model, file = tmp_path / "model", tmp_path / "m.onnx"
    small = ("--replicas", "3", "--units", "3", "--steps", "20", "--device", "cpu")
    code, out, _ = run(
        "train", "--data", table, "--out", model, *small, "--plot", tmp_path / "c.png"
    )
    assert code == 0
    assert "test log-likelihood" in out
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert run("show", model)[0] == 0
    assert run("show", model, "--part", "ir")[1].startswith("pcir 1\n")
    assert "3 x 2" in run("show", model, "--part", "sectors")[1]
    assert "plan:" in run("show", model, "--part", "plan")[1]
    assert run("check", model)[0] == 0
    assert run("export", model, file)[0] == 0
    code, by_onnx, note = run("query", file, table)
    assert code == 0
    assert "mean" in note
    _, by_torch, _ = run("query", model, table)
    np.testing.assert_allclose(
        np.array(by_onnx.split(), float), np.array(by_torch.split(), float), atol=1e-5
    )
    run("query", model, table, "--out", tmp_path / "ll.txt")
    assert len((tmp_path / "ll.txt").read_text().split()) == 200


@pytest.mark.parametrize("structure", ["hmm", "mixture"])
@pytest.mark.parametrize("weights", ["direct", "hypernetwork"])
def test_other_structures(
    run: Run, table: Path, tmp_path: Path, structure: str, weights: str
) -> None:
    code, _, err = run(
        "train", "--data", table, "--out", tmp_path / "m", "--structure", structure,
        "--weights", weights, "--steps", "5", "--device", "cpu",
    )  # fmt: skip
    assert (code, err) == (0, "")


def test_a_pipeline_of_passes(run: Run, table: Path, tmp_path: Path) -> None:
    code, _, err = run(
        "train", "--data", table, "--out", tmp_path / "m", "--replicas", "2", "--steps", "2",
        "--passes", "check,sectors{by=rows,size=2},hypernet{hidden=8x8}", "--device", "cpu",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "by rows" in run("show", tmp_path / "m", "--part", "sectors")[1]


def test_a_circuit_of_ones_own(run: Run, table: Path, tmp_path: Path) -> None:
    names = "rain", "wet", "dry", "hot"
    lines = ["pcir 1", *(f"variable {n} binary" for n in names)]
    lines += [f"%{n} = input {n} bernoulli 3 @{n}" for n in names]
    lines += ["%p = product %rain %wet %dry %hot", "%r = sum 1 %p @r", "root %r"]
    file = tmp_path / "own.pcir"
    file.write_text("\n".join(lines))
    assert run("check", file)[0] == 0
    code, out, err = run(
        "train", "--data", table, "--circuit", file, "--out", tmp_path / "m",
        "--weights", "direct", "--steps", "5", "--device", "cpu",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "15 parameters" in out


def test_errors(run: Run, table: Path, tmp_path: Path, golden: Golden) -> None:
    broken = tmp_path / "broken.pcir"
    broken.write_text(
        "pcir 1\nvariable wet binary\n%a = input wet bernoulli 1 @a\n%p = product %a %a\nroot %p\n"
    )
    (tmp_path / "bad.csv").write_text("a,b\n0,1\n0,rain\n")
    (tmp_path / "wide.csv").write_text("0,1,0,1,1\n")
    (tmp_path / "binary.pcir").write_bytes(b"\xff\xfe\x00")
    out = tmp_path / "m"
    run(
        "train", "--data", table, "--out", out, "--replicas", "2", "--steps", "2", "--device", "cpu"
    )
    attempts: list[tuple[str | Path, ...]] = [
        ("check", broken),
        ("check", tmp_path / "none.pcir"),
        ("check", tmp_path / "binary.pcir"),
        ("show", broken, "--part", "sectors"),
        ("train", "--data", "nltc", "--out", tmp_path / "x"),
        ("train", "--data", tmp_path / "bad.csv", "--out", tmp_path / "x"),
        ("train", "--data", table, "--out", tmp_path / "x", "--hidden", "20,20", "--device", "cpu"),
        ("train", "--data", table, "--out", tmp_path / "x", "--device", "gpu"),
        ("train", "--data", table, "--out", tmp_path / "x", "--steps", "0", "--device", "cpu"),
        ("query", out, tmp_path / "wide.csv"),
        ("query", tmp_path / "none", table),
        ("query", tmp_path / "none.onnx", table),
        ("export", tmp_path / "none", tmp_path / "m.onnx"),
    ]
    messages: list[str] = []
    for attempt in attempts:
        code, printed, err = run(*attempt)
        assert code == 1, attempt
        assert "Traceback" not in err
        messages.append(
            f"$ pccompiler {' '.join(map(str, attempt))}\n{printed}{err}".replace(
                str(tmp_path), "DIR"
            )
        )
    assert not (tmp_path / "x").exists()
    golden("\n".join(messages))


def test_help_names_every_command(run: Run) -> None:
    _, out, _ = run("--help")
    for command in ("check", "show", "train", "export", "query", "datasets"):
        assert command in out
        code, text, _ = run(command, "--help")
        assert code == 0
        assert len(text) > 200


def test_datasets_lists_the_papers_figures(run: Run) -> None:
    _, out, _ = run("datasets")
    line = next(line for line in out.splitlines() if line.startswith("plants"))
    assert line.split() == [
        "plants",
        "69",
        "17,412",
        "2,321",
        "3,482",
        "-13.36",
        "-13.26",
        "twenty",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--seed", "-1"), "0"),
        (("--device", "meta"), "PC302"),
        (("--plot", "curve.xyz"), "PC313"),
        (("--out", "/proc/none/model"), "PC442"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    run: Run, table: Path, tmp_path: Path, arguments: tuple[str, str], told: str
) -> None:
    small = ("--replicas", "1", "--units", "2", "--steps", "2", "--device", "cpu")
    code, _, err = run("train", "--data", table, "--out", tmp_path / "m", *small, *arguments)
    assert code != 0
    assert told in err


@pytest.mark.parametrize(
    "options",
    [
        ("--steps", "1.5"), ("--steps", "-1"), ("--seed", "-1"), ("--seed", "0.5"),
        ("--units", "0"), ("--units", "2.5"), ("--replicas", "0"), ("--depth", "-1"),
        ("--batch-size", "0"), ("--batch-size", "1e3"), ("--learning-rate", "nan"),
        ("--learning-rate", "-1"), ("--weight-decay", "inf"), ("--patience", "-1"),
        ("--evaluate-every", "0"), ("--embedding", "0"), ("--hidden", "9" * 5000),
        ("--hidden", "2.5"), ("--hidden", "-2x3"), ("--steps", "9" * 5000),
    ],
    ids=lambda options: "=".join(options)[:24],
)  # fmt: skip
def test_odd_numbers_are_refused(tmp_path: Path, run: Run, options: tuple[str, str]) -> None:
    (tmp_path / "a.csv").write_text("0,1\n1,0\n1,1\n0,0\n" * 10)
    code, _, err = run(
        "train", "--data", tmp_path / "a.csv", "--out", tmp_path / "m", "--device", "cpu",
        *("--steps", "1") * ("--steps" not in options), *options,
    )  # fmt: skip
    assert code in (1, 2)  # 2: refused by typer
    assert "Traceback" not in err
    assert "error[PC" in err or "Invalid value" in err
    assert not (tmp_path / "m").exists()
