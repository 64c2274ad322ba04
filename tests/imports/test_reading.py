"""How files are found and read, and every error message as a golden file."""

from __future__ import annotations

import gzip
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler import cli
from pccompiler.errors import ImportFormatError
from pccompiler.imports import read, read_nnf, read_sdd, read_vtree
from pccompiler.imports.read import read_circuit
from pccompiler.ir import Circuit, Kind, parse, to_text, write_circuit
from pccompiler.passes import verify
from pccompiler.testing import density, random_circuit, worlds
from pccompiler.testing.refusals import refusals

Golden = Callable[[str], None]
VTREE = "vtree 5\nL 0 1\nL 1 2\nI 2 0 1\nL 3 3\nI 4 2 3\n"
PSDD = """psdd 9
L 0 0 1
L 1 0 -1
L 2 1 2
T 3 1 2 -1.6094379124341003
T 4 3 3 -0.6931471805599453
D 5 2 2 0 2 -0.6931471805599453 1 3 -0.6931471805599453
D 6 4 1 5 4 0.0
"""
SDD = """sdd 8
L 0 0 1
L 1 0 -1
L 2 1 2
L 3 1 -2
D 4 2 2 0 2 1 3
L 5 3 -3
T 6
D 7 4 1 4 5
"""
SPN = """1 + 2 0.25 3 0.75
2 * 4 5
3 * 6 7
4 i 1 1
5 categorical 2 0.5 0.25 0.25
6 i 1 2
7 categorical 2 0.125 0.125 0.75
"""
NNF = "nnf 7 6 3\nL 1\nL 2\nA 2 0 1\nL -1\nL -2\nA 2 3 4\nO 1 2 2 5\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write files; returns the path of the first."""
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder / next(iter(files))


def values(circuit: Circuit) -> list[float]:
    return [density(circuit, world) for world in worlds(circuit)]


@pytest.mark.parametrize("name", ["a.psdd", "a.psdd.gz", "A.PSDD", "a.txt", "a"])
def test_files_are_known_by_their_ending_or_format(tmp_path: Path, name: str) -> None:
    content = b"\xef\xbb\xbf" + PSDD.replace("\n", "\r\n").encode()  # as saved by some editors
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    circuit = read(tmp_path / name, format=None if "psdd" in name.lower() else ".psdd")
    np.testing.assert_allclose(values(circuit), [0.2, 0.2, 0.05, 0.05, 0, 0, 0.25, 0.25])


def test_the_vtree_beside_a_file_is_found(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.b.psdd": PSDD, "a.b.vtree": VTREE.replace("L 3 3", "L 3 4")})
    with pytest.raises(ImportFormatError, match="variable 3 has no leaf"):
        read(path)
    other = write(tmp_path, {"c.vtree": VTREE})
    assert read(path, vtree=other) == read(write(tmp_path, {"alone.psdd": PSDD}))


def test_text_and_networks_have_the_same_door(tmp_path: Path) -> None:
    circuit = read(write(tmp_path, {"a.psdd": PSDD}))
    assert read(write(tmp_path, {"a.pcir": to_text(circuit)})) == circuit
    network = "network a {}\nvariable b { type discrete [2] { n, y }; }\n"
    path = write(tmp_path, {"a.bif": network + "probability ( b ) { table 0.25, 0.75; }\n"})
    np.testing.assert_allclose(values(read(path)), [0.25, 0.75])


def test_probabilities_are_those_of_the_file(tmp_path: Path) -> None:
    """To the last digit if rows sum to 1; divided by their sum if digits were cut off."""
    logs = [math.log(0.3), math.log(0.7)]
    text = PSDD.replace("2 -0.6931471805599453 1", f"2 {logs[0]!r} 1")
    exact = read(
        write(
            tmp_path, {"a.psdd": text.replace("3 -0.6931471805599453\nD 6", f"3 {logs[1]!r}\nD 6")}
        )
    )
    (table,) = (exact.weights.values[w] for w in exact.weight[exact.kind == Kind.SUM].tolist())
    assert table.tolist() == [[math.exp(log) for log in logs]]
    cut = read(
        write(tmp_path, {"b.psdd": text.replace("3 -0.6931471805599453\nD 6", "3 -0.3567\nD 6")})
    )
    (table,) = (cut.weights.values[w] for w in cut.weight[cut.kind == Kind.SUM].tolist())
    assert table.sum() == pytest.approx(1.0, abs=1e-15)
    np.testing.assert_allclose(table, [[0.3, 0.7]], rtol=1e-4)


def test_the_older_dialect_gives_both_logarithms(tmp_path: Path) -> None:
    text = PSDD.replace("T 4 3 3 -0.69", f"T 4 3 3 {math.log1p(-0.25)!r} {math.log(0.25)!r}\nc ")
    circuit = read(write(tmp_path, {"a.psdd": text}))
    np.testing.assert_allclose(values(circuit)[:2], [0.3, 0.1])


def test_nodes_know_their_lines(tmp_path: Path) -> None:
    for name, text, line in (("a.psdd", PSDD, 8), ("a.spn", SPN, 1)):
        circuit = read(write(tmp_path, {name: text}))
        assert circuit.where(circuit.root) == f"{tmp_path / name}:{line}"


def test_variables_that_a_formula_does_not_mention_count(tmp_path: Path) -> None:
    files = {"a.sdd": "sdd 1\nL 0 0 1\n", "a.vtree": VTREE}
    path = write(tmp_path, files)
    assert math.exp(read(path).log_scale) == pytest.approx(4)
    true = write(tmp_path, {"t.sdd": "sdd 1\nT 0\n", "t.vtree": VTREE})
    weights = {1: 3.0, -2: 0.0, 3: 0.25}
    circuit = read_sdd(true, tmp_path / "t.vtree", weights=weights)
    assert math.exp(circuit.log_scale) == pytest.approx(4 * 1 * 1.25)
    np.testing.assert_allclose(values(circuit), [0, 0, 1, 0.25, 0, 0, 3, 0.75])


def test_weights_of_any_size(tmp_path: Path) -> None:
    path = write(tmp_path, {"a.sdd": SDD, "a.vtree": VTREE})
    weights = {1: 1e-300, -1: 0.0, 2: 1e-300, -2: 1e300, 3: 1e308, -3: 1e-290}
    circuit = read_sdd(path, tmp_path / "a.vtree", weights=weights)
    assert circuit.log_scale == pytest.approx(-890 * math.log(10), rel=1e-12)
    verify(circuit)


def test_deep_and_wide_files(tmp_path: Path) -> None:
    """No recursion, and no quadratic walk of many children."""
    n = 3000
    lines = [f"{i} + {i + 1} 0.5 {n + i} 0.5\n{n + i} i 1 1" for i in range(1, n)]
    deep = read(write(tmp_path, {"d.spn": "\n".join(lines) + f"\n{n} i 1 1\n"}))
    assert deep.statistics.depth == n - 1
    wide = " ".join(f"{i} {1 / n!r}" for i in range(2, n + 2))
    leaves = "\n".join(
        f"{i} categorical 1 {i / (2 * n)} {1 - i / (2 * n)}" for i in range(2, n + 2)
    )
    assert read(write(tmp_path, {"w.spn": f"1 + {wide}\n{leaves}\n"})).num_nodes == n + 1


BAD: dict[str, dict[str, str]] = {
    "psdd-header": {"a.psdd": PSDD.replace("psdd 9", "psdd 90")},
    "psdd-no-header": {"a.psdd": PSDD.replace("psdd 9\n", "")},
    "psdd-negative-variable": {"a.psdd": PSDD.replace("T 3 1 2", "T 3 1 -2")},
    "psdd-positive-log": {"a.psdd": PSDD.replace("-1.609", "1.609")},
    "psdd-both-logs": {"a.psdd": PSDD.replace("T 4 3 3 ", "T 4 3 3 -0.1 ")},
    "psdd-gap": {"a.psdd": PSDD.replace("T 4 3 3", "T 4 3 30")},
    "psdd-huge-variable": {"a.psdd": PSDD.replace("T 4 3 3", "T 4 3 9999999999999")},
    "psdd-huge-number": {"a.psdd": PSDD.replace("T 4", f"T {'9' * 5000}")[:200]},
    "psdd-not-decomposable": {"a.psdd": PSDD.replace("1 3 -0.69", "1 1 -0.69")},
    "psdd-not-smooth": {"a.psdd": PSDD.replace("0 2 -0.69", "0 4 -0.69")},
    "psdd-swapped": {"a.psdd": PSDD.replace("5 4 0.0", "4 5 0.0"), "a.vtree": VTREE},
    "psdd-vtree-node": {"a.psdd": PSDD.replace("D 6 4", "D 6 9"), "a.vtree": VTREE},
    "psdd-is-sdd": {"a.psdd": SDD},
    "sdd-swapped": {"a.sdd": SDD.replace("D 7 4 1 4 5", "D 7 4 1 5 4"), "a.vtree": VTREE},
    "sdd-leaf": {"a.sdd": SDD.replace("L 5 3 -3", "L 5 1 -3"), "a.vtree": VTREE},
    "sdd-unknown": {"a.sdd": SDD.replace("D 7 4 1 4 5", "D 7 4 1 4 9")},
    "sdd-zero": {"a.sdd": SDD.replace("L 5 3 -3", "L 5 3 0")},
    "sdd-beyond-vtree": {"a.sdd": SDD.replace("L 5 3 -3", "L 5 3 -4"), "a.vtree": VTREE},
    "sdd-not-decomposable": {"a.sdd": SDD.replace("D 4 2 2 0 2 1 3", "D 4 2 2 0 1 1 3")},
    "sdd-many-variables": {"a.sdd": SDD.replace("L 5 3 -3", "L 5 3 123456789")},
    "sdd-nothing": {"a.sdd": "sdd 1\nT 0\n"},
    "nnf-header": {"a.nnf": NNF.replace("nnf 7 6 3", "nnf 7")},
    "nnf-many-variables": {"a.nnf": NNF.replace("nnf 7 6 3", "nnf 7 6 999999999999")},
    "nnf-forward": {"a.nnf": NNF.replace("A 2 0 1", "A 2 0 6")},
    "nnf-true-beside": {"a.nnf": NNF.replace("A 2 0 1", "A 0")},
    "nnf-false": {"a.nnf": NNF.replace("O 1 2 2 5", "O 0 0")},
    "spn-gap": {"a.spn": SPN.replace("categorical 2", "categorical 3")},
    "spn-states": {"a.spn": SPN.replace("i 1 2", "i 1 100000")},
    "spn-state": {"a.spn": SPN.replace("i 1 2", "i 1 1.5")},
    "spn-negative": {"a.spn": SPN.replace("0.25 0.25", "0.75 -0.25")},
    "spn-no-weight": {"a.spn": SPN.replace("3 0.75\n", "3\n", 1)},
    "spn-not-smooth": {"a.spn": SPN.replace("2 * 4 5", "2 * 4").replace("5 categorical", "#")},
    "spn-not-decomposable": {"a.spn": SPN.replace("3 * 6 7", "3 * 6 7 4")},
    "sdd-false-and-literals": {"a.sdd": "sdd 2\nL 0 0 1\nF 1\n"},
    "spn-digit": {"a.spn": SPN.replace("2 * 4", "\u00b2 * 4")},
    "vtree-itself": {"a.vtree": VTREE},
    "vtree-twice": {"a.sdd": SDD, "a.vtree": VTREE.replace("L 1 2", "L 0 2")},
    "vtree-shared": {"a.sdd": SDD, "a.vtree": VTREE.replace("I 4 2 3", "I 4 2 0")},
    "vtree-unknown": {"a.sdd": SDD, "a.vtree": VTREE.replace("I 4 2 3", "I 4 2 7")},
    "vtree-roots": {"a.sdd": SDD, "a.vtree": VTREE.replace("I 4 2 3", "L 4 4")},
    "vtree-variable": {"a.sdd": SDD, "a.vtree": VTREE.replace("L 3 3", "L 3 2")},
    "vtree-zero": {"a.sdd": SDD, "a.vtree": VTREE.replace("L 3 3", "L 3 0")},
    "vtree-cut-short": {"a.sdd": SDD, "a.vtree": VTREE[: VTREE.index("L 3")]},
    "vtree-empty": {"a.sdd": SDD, "a.vtree": ""},
    "vtree-line": {"a.sdd": SDD, "a.vtree": VTREE + "X\n"},
}


@pytest.mark.parametrize("name", BAD)
def test_refused(tmp_path: Path, name: str, golden: Golden) -> None:
    with pytest.raises(ImportFormatError) as caught:
        read(write(tmp_path, BAD[name]))
    golden(str(caught.value).replace(str(tmp_path), "FOLDER"))


def test_refused_arguments(tmp_path: Path, golden: Golden) -> None:
    write(tmp_path, {"a.sdd": SDD, "a.spn": SPN, "a.nnf": NNF, "a.vtree": VTREE})
    calls: list[Callable[[], object]] = [
        lambda: read(tmp_path / "a.spn", vtree=tmp_path / "a.vtree"),
        lambda: read(tmp_path / "a.sdd", format="cnf"),
        lambda: read(tmp_path / "none.sdd"),
        lambda: read(tmp_path / "a.sdd", vtree=tmp_path / "none.vtree"),
        lambda: read_nnf(tmp_path / "a.nnf", weights={4: 1.0}),
        lambda: read_nnf(tmp_path / "a.nnf", weights={1: 0.0, -1: 0.0}),
        lambda: read_nnf(tmp_path / "a.nnf", weights={1: math.nan}),
        lambda: read_nnf(tmp_path / "a.nnf", weights={1: 0.0, -2: 0.0}),
    ]
    golden(refusals(calls, ImportFormatError).replace(str(tmp_path), "FOLDER"))


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


SAMPLES = [
    {"m.psdd": PSDD, "m.vtree": VTREE},
    {"m.sdd": SDD, "m.vtree": VTREE},
    {"alone.psdd": PSDD},
    {"alone.sdd": SDD},
    {"m.spn": SPN},
    {"m.nnf": NNF},
]
PIECES = ["", " ", "\n", "0", "7", "-1", "9" * 12, "1e999", "-inf", "\u00b2", "\x0c", "L", "D", "+"]


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.sampled_from(PIECES)), max_size=4),
    st.floats(0, 1) | st.just(1.0),
)
def test_damaged_files_give_circuits_or_import_errors(
    folder: Path,
    sample: dict[str, str],
    changes: list[tuple[float, int, str]],
    kept: float,
) -> None:
    files = list(sample.items())
    for number, (place, length, piece) in enumerate(changes):
        name, text = files[number % len(files)]
        at = int(place * len(text))
        files[number % len(files)] = (name, text[:at] + piece + text[at + length :])
    files[0] = (files[0][0], files[0][1][: math.ceil(kept * len(files[0][1]))])
    try:
        circuit = read(write(folder, dict(files)))
    except ImportFormatError:
        return
    verify(circuit)  # nothing that was read is refused later


def test_vtrees(tmp_path: Path) -> None:
    tree = read_vtree(write(tmp_path, {"a.vtree": VTREE}))
    assert tree.variables == [1, 2, 3]
    assert tree.root == 4
    assert tree.spans == {0: (0, 1), 1: (1, 2), 2: (0, 2), 3: (2, 3), 4: (0, 3)}
    assert tree.beneath(1, 4, 0)
    assert not tree.beneath(1, 4, 1)
    assert not tree.beneath(1, 3, 0)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*arguments: str | Path) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["pccompiler", "import", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        streams = capsys.readouterr()
        return stop.value.code, streams.out, streams.err

    path = write(tmp_path, {"a.psdd": PSDD, "a.vtree": VTREE, "rows.csv": "a,b,c\n0,0,1\n1,1,0\n"})
    out = tmp_path / "a.pcir"
    code, told, _ = call(path, "--out", out, "--check-data", tmp_path / "rows.csv")
    assert code == 0
    assert f"mean {(math.log(0.2) + math.log(0.25)) / 2:.6f} nats over 2 rows" in told
    assert "3 variables" in told
    assert parse(out.read_text()) == read(path)
    other = write(tmp_path, {"b.vtree": VTREE.replace("I 4 2 3", "I 4 3 2")})
    code, _, errors = call(path, "--out", tmp_path / "b.pcir", "--vtree", other)
    assert code == 1
    assert "a.psdd:8: error[PC706]" in errors
    assert not (tmp_path / "b.pcir").exists()


def test_weights_in_a_file_beside_the_text_are_found(tmp_path: Path) -> None:
    circuit = random_circuit(3, max_variables=3)
    write_circuit(circuit, tmp_path / "a.pcir", weights="file")
    (tmp_path / "a.pcir.gz").write_bytes(gzip.compress((tmp_path / "a.pcir").read_bytes()))
    for read_it in (read, read_circuit):
        for name in ("a.pcir", "a.pcir.gz"):
            again = read_it(tmp_path / name)
            assert again.fingerprint == circuit.fingerprint
            for weight, values in circuit.weights.values.items():
                np.testing.assert_array_equal(again.weights.values[weight], values)
