"""PSDD, SPN, SDD and NNF files: real ones with known answers, small ones by brute force."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import DataError, ImportFormatError
from pccompiler.imports import read, read_nnf, read_psdd, read_sdd
from pccompiler.passes import verify
from pccompiler.passes.analysis.equivalence import _masses
from pccompiler.testing import density, total_mass, worlds

Golden = Callable[[str], None]
Find = Callable[[str], Path]

VTREE = "vtree 3\nL 0 1\nL 1 2\nI 2 0 1\n"
PSDD = """c a comment
psdd 5
L 0 0 1
L 1 0 -1
L 2 1 2
T 3 1 2 -1.6094379124341003
D 4 2 2 0 2 -0.6931471805599453 1 3 -0.6931471805599453
"""
SPN = """# a mixture
1 + 2 0.25 3 0.75
2 * 4 5   # x1 = 0
3 * 6 7
4 i 1 1
5 categorical 2 0.5 0.25 0.25
6 i 1 2
7 categorical 2 0.125 0.125 0.75
"""
SDD = "sdd 7\nL 0 0 1\nL 1 0 -1\nL 2 1 2\nL 3 1 -2\nF 4\nT 5\nD 6 2 2 0 2 1 3\n"
NNF = "nnf 7 6 3\nL 1\nL 2\nA 2 0 1\nL -1\nL -2\nA 2 3 4\nO 1 2 2 5\n"


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_small_psdd(tmp_path: Path) -> None:
    path = written(tmp_path, "a.psdd", PSDD)
    written(tmp_path, "a.vtree", VTREE)
    for circuit in (read(path), read_psdd(path)):
        verify(circuit)
        values = [density(circuit, world) for world in worlds(circuit)]
        np.testing.assert_allclose(values, [0.4, 0.1, 0.0, 0.5], rtol=1e-12)


def test_a_small_spn(tmp_path: Path) -> None:
    turned = "\n".join(
        " ".join([words[1], words[0], *words[2:]])
        for line in SPN.splitlines()[1:]
        if (words := line.split("#")[0].split())
    )
    for name, text in (("a.spn", SPN), ("b.spn", turned)):
        circuit = read(written(tmp_path, name, text))
        values = [density(circuit, world) for world in worlds(circuit)]
        want = [0.125, 0.0625, 0.0625, 0.09375, 0.09375, 0.5625]
        np.testing.assert_allclose(values, want, rtol=1e-12)


@pytest.mark.parametrize(("name", "text"), [("a.sdd", SDD), ("a.nnf", NNF)])
def test_small_formulas(tmp_path: Path, name: str, text: str) -> None:
    path = written(tmp_path, name, text)
    circuit = read(path)
    table = worlds(circuit)
    want = table[:, 0] == table[:, 1]
    np.testing.assert_allclose([density(circuit, w) for w in table], want, atol=1e-12)
    assert np.exp(circuit.log_scale) == pytest.approx(want.sum(), rel=1e-12)
    weights = {1: 3.0, -1: 0.5, -2: 2.0}
    weighted = (read_sdd if name == "a.sdd" else read_nnf)(path, weights=weights)
    factors = np.where(table[:, 0] == 1, 3.0, 0.5) * np.where(table[:, 1] == 1, 1.0, 2.0)
    values = [density(weighted, w) for w in table]
    np.testing.assert_allclose(values, want * factors, atol=1e-12)
    assert total_mass(weighted) == pytest.approx(np.exp(weighted.log_scale), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "data", "rows", "wanted"),
    [
        ("nltcs.psdd", "nltcs", None, -6.0448),
        ("msnbc.psdd", "msnbc", 5000, -6.0580),
        ("tretail.psdd", "tretail", 5000, -10.9169),
        ("nltcs.spn.gz", "nltcs", None, -6.0786),
    ],
)
def test_published_circuits(
    name: str, data: str, rows: int | None, wanted: float, sample: Find
) -> None:
    circuit = read(sample(name))
    verify(circuit)
    try:
        test = pc.datasets.load(data, download=False).test
    except DataError as error:
        pytest.skip(str(error))
    assert test is not None
    values = np.log(_masses(circuit, np.asarray(test[:rows], np.float64)))
    assert values.mean() == pytest.approx(wanted, abs=5e-5)
    if name == "nltcs.spn.gz":
        assert values.sum() == pytest.approx(-19670.226, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "models"), [("xor-8.sdd", 128), ("ranking-3.sdd", 6), ("test.cnf.nnf", 4)]
)
def test_model_counts(name: str, models: int, sample: Find) -> None:
    circuit = read(sample(name))
    verify(circuit)
    assert np.exp(circuit.log_scale) == pytest.approx(models, rel=1e-10)
    values = _masses(circuit, worlds(circuit))
    np.testing.assert_allclose(values.sum(), models, rtol=1e-10)
    np.testing.assert_allclose(values, values.round(), atol=1e-10)


@pytest.mark.parametrize(
    "name",
    [
        "alarm.bif.gz",
        "alarm.sdd",
        "asia.bif.gz",
        "asia.uai.psdd",
        "cancer.bif.gz",
        "child.bif.gz",
        "coins.psdd",
        "coins.spn",
        "earthquake.bif.gz",
        "hmm.spn",
        "little_4var.psdd",
        "msnbc.psdd",
        "nltcs.clt.psdd",
        "nltcs.psdd",
        "nltcs.spn.gz",
        "ranking-3.sdd",
        "sachs.bif.gz",
        "simple2.1.psdd",
        "simple2.4.psdd",
        "small.spn",
        "survey.bif.gz",
        "test.cnf.nnf",
        "test.psdd",
        "test.sdd",
        "test.spn",
        "tretail.psdd",
        "xor-8.sdd",
        "xor.spn",
    ],
)
def test_every_sample_is_read(name: str, sample: Find) -> None:
    circuit = read(sample(name))
    verify(circuit)
    small = 2 ** len(circuit.variables) <= 4096 and circuit.num_nodes < 200
    if small and all(v.cardinality == 2 for v in circuit.variables):
        assert total_mass(circuit) == pytest.approx(np.exp(circuit.log_scale), rel=1e-9)


BAD: dict[str, tuple[str, str]] = {
    "ending": ("a.txt", PSDD),
    "empty": ("a.psdd", ""),
    "cut-short": ("a.psdd", PSDD[: PSDD.index("D")]),
    "line": ("a.psdd", PSDD + "X 1 2 3\n"),
    "elements": ("a.psdd", PSDD.replace(" 1 3 -0.6931471805599453", " 1 3")),
    "undeclared": ("a.psdd", PSDD.replace("0 2 -0.69", "0 9 -0.69")),
    "twice": ("a.psdd", PSDD.replace("L 1 0", "L 0 0")),
    "sum": ("a.psdd", PSDD.replace("1 3 -0.69", "1 3 -0.09")),
    "number": ("a.psdd", PSDD.replace("-1.6094379124341003", "nan")),
    "spn-cycle": ("a.spn", SPN.replace("2 * 4 5", "2 * 4 5 3").replace("3 * 6 7", "3 * 6 7 2")),
    "spn-roots": ("a.spn", SPN + "8 * 4 5\n"),
    "spn-kind": ("a.spn", SPN + "8 gaussian 4 5\n"),
    "spn-child": ("a.spn", SPN.replace("2 * 4 5", "2 * 4 9")),
    "spn-weights": ("a.spn", SPN.replace("0.75\n2", "0.5\n2")),
    "sdd-false": ("a.sdd", "sdd 1\nF 0\n"),
    "sdd-count": ("a.sdd", SDD.replace("sdd 7", "sdd 8")),
    "nnf-literal": ("a.nnf", NNF.replace("L 2", "L 9")),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(tmp_path: Path, name: str, golden: Golden) -> None:
    file, text = BAD[name]
    with pytest.raises(ImportFormatError) as caught:
        read(written(tmp_path, file, text))
    golden(str(caught.value).replace(str(tmp_path), "FOLDER"))


def test_a_vtree_of_another_file(tmp_path: Path, golden: Golden) -> None:
    path = written(tmp_path, "a.psdd", PSDD)
    other = written(tmp_path, "b.vtree", "vtree 3\nL 0 2\nL 1 1\nI 2 0 1\n")
    with pytest.raises(ImportFormatError) as caught:
        read(path, vtree=other)
    golden(str(caught.value).replace(str(tmp_path), "FOLDER"))
    with pytest.raises(ImportFormatError, match="PC701"):
        read(path, vtree=tmp_path / "none.vtree")


def test_damaged_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.spn.gz"
    path.write_bytes(gzip.compress(SPN.encode())[:-9])
    with pytest.raises(ImportFormatError, match="PC701"):
        read(path)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mutated")


@given(
    st.sampled_from([("m.psdd", PSDD), ("m.spn", SPN), ("m.sdd", SDD), ("m.nnf", NNF)]),
    st.lists(
        st.tuples(
            st.integers(0, 200),
            st.sampled_from(
                ["", " ", "\n", "0", "9", "-1", "L", "x", "1e999", "nan", "D", "+", "*"]
            ),
        ),
        max_size=4,
    ),
)
def test_mutated_files_give_circuits_or_errors(
    folder: Path, sample: tuple[str, str], changes: list[tuple[int, str]]
) -> None:
    name, text = sample
    for place, piece in changes:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + 1 :]
    try:
        circuit = read(written(folder, name, text))
        verify(circuit)  # files give well-formed circuits or errors with a line
    except ImportFormatError:
        return
    assert circuit.where(circuit.root) or name[2:] in ("sdd", "nnf")  # some of these are new nodes
