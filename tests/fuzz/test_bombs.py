"""Small files that would need much memory: refused within seconds, naming the exceeded limit."""

from __future__ import annotations

import gzip
import io
import os
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import networkx  # type: ignore[import-untyped]  # no stubs
import numpy as np
import pytest

import pccompiler
from pccompiler import datasets
from pccompiler.datasets.csv_table import numbers_of, read_lines
from pccompiler.datasets.records import SPLITS
from pccompiler.errors import LimitError, OptionError, PCCompilerError
from pccompiler.imports import compile_network, read, read_network
from pccompiler.ir import parse, read_circuit
from pccompiler.limits import ENVIRONMENT, Limits, allow, current
from pccompiler.passes import verify
from pccompiler.passes.analysis.vtrees.find import Vtree

SECONDS = 20.0
"""Limit on processor time; the tests take one or two seconds."""


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    start = time.process_time()
    yield
    assert time.process_time() - start < SECONDS


def refused(limit: str, path: Path) -> None:
    with pytest.raises(LimitError, match=rf"PC760(.|\n)*limits\.allow\({limit}=[0-9]+\)") as caught:
        read(path)
    assert str(path) in str(caught.value)


def bif(states: int) -> str:
    names = ", ".join(f"s{i}" for i in range(states))
    values = ", ".join([repr(1.0 / states)] * states)
    return (
        f"variable x {{ type discrete [ {states} ] {{ {names} }}; }}\n"
        f"probability ( x ) {{ table {values}; }}\n"
    )


def test_a_network_with_a_variable_of_a_million_states(tmp_path: Path) -> None:
    (tmp_path / "a.bif").write_text(bif(1_000_000))
    refused("states", tmp_path / "a.bif")


def test_a_larger_limit_is_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "a.bif").write_text(bif(70))
    with allow(states=64), pytest.raises(LimitError):
        read(tmp_path / "a.bif")
    with allow(states=64), allow(states=70):
        verify(read(tmp_path / "a.bif"))


def test_networks_in_memory_keep_to_the_limits_too(tmp_path: Path) -> None:
    (tmp_path / "a.bif").write_text(bif(70))
    network = read_network(tmp_path / "a.bif")
    with allow(states=64), pytest.raises(LimitError, match="variable 'x'"):
        compile_network(network)


def test_a_default_row_of_a_huge_table(tmp_path: Path) -> None:
    names = [f"v{i}" for i in range(40)]
    text = "".join(f"variable {v} {{ type discrete [ 2 ] {{ a, b }}; }}\n" for v in names)
    text += f"probability ( v0 | {', '.join(names[1:])} ) {{ default 0.5, 0.5; }}\n"
    (tmp_path / "a.bif").write_text(text)
    refused("edges", tmp_path / "a.bif")


def test_texts_that_unpack_to_gigabytes(tmp_path: Path) -> None:
    line = gzip.compress(b"\n" * 2**24, 9)
    for name in ("a.psdd.gz", "a.spn.gz", "a.bif.gz", "a.nnf.gz", "a.pcir.gz"):
        (tmp_path / name).write_bytes(line * 32)  # consecutive members: 2 ** 29 bytes
        refused("text", tmp_path / name)


def test_a_text_that_is_large_on_disk(tmp_path: Path) -> None:
    with (tmp_path / "a.pcir").open("wb") as file:
        file.truncate(2**40)  # uses no space
    with pytest.raises(LimitError, match=r"PC760(.|\n)*text="):
        read_circuit(tmp_path / "a.pcir")


def test_many_small_leaves_of_large_tables(tmp_path: Path) -> None:
    text = "0 * 1 2\n1 categorical 1 0.5 0.5\n2 i 2 4096\n"
    (tmp_path / "a.spn").write_text(text + "".join(f"{i} i 2 {i}\n" for i in range(3, 4000)))
    with allow(edges=1_000_000):
        with pytest.raises(PCCompilerError) as caught:
            read(tmp_path / "a.spn")
        assert "PC7" in str(caught.value)


def test_nodes_and_edges_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.nnf").write_text(
        "nnf 102 200 1\nL 1\nL -1\n" + "".join(f"O 0 2 {i} {i + 1}\n" for i in range(100))
    )
    with allow(nodes=50):
        refused("nodes", tmp_path / "a.nnf")
    with allow(edges=50):
        refused("edges", tmp_path / "a.nnf")


def test_formulas_that_are_small_until_they_are_smooth(tmp_path: Path) -> None:
    """Each of n disjunctions lacks up to n variables, so the circuit needs about n² inputs."""
    n = 300
    lines = [f"L {sign * v}" for v in range(1, n + 1) for sign in (1, -1)]
    last = len(lines)
    lines.append("O 1 2 0 1")
    for v in range(1, n):
        lines += [f"A 2 {2 * v} {last}", f"O 0 2 {len(lines)} {2 * v + 1}"]
        last = len(lines) - 1
    (tmp_path / "a.nnf").write_text(f"nnf {len(lines)} 0 {n}\n" + "\n".join(lines) + "\n")
    with allow(edges=20_000):
        refused("edges", tmp_path / "a.nnf")
    verify(read(tmp_path / "a.nnf"))


def test_nodes_times_variables(tmp_path: Path) -> None:
    (tmp_path / "a.nnf").write_text("nnf 1 0 1000\nA 0\n")
    with allow(scopes=2**16):
        refused("scopes", tmp_path / "a.nnf")
    text = "pcir 1\n" + "".join(f"variable v{i} binary\n" for i in range(100))
    text += "".join(f"%a{i} = input v{i} indicator 2\n" for i in range(100)) + "root %a0\n"
    with allow(scopes=1000), pytest.raises(LimitError, match=r"PC760(.|\n)*scopes="):
        parse(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.nnf", "nnf 1 0 1000000000\nA 0\n"),
        ("a.sdd", "sdd 1\nL 0 0 1000000000\n"),
    ],
)
def test_one_number_that_says_how_many_variables(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    refused("variables", tmp_path / name)


def test_sectors_without_end() -> None:
    text = (
        "pcir 1\nvariable x binary\nsectors by=size size=1\n%a = input x indicator 2\n"
        "%b = sum 2000000000 %a @w\n%c = sum 1 %b @v\nroot %c\n"
    )
    with pytest.raises(LimitError, match=r"PC760(.|\n)*edges="):
        parse(text)


def test_columns_without_end_in_a_graph() -> None:
    from pccompiler.ir.networks.read import from_networkx

    graph = networkx.DiGraph()
    graph.add_node("a", variable=10**9, p=0.5)
    with pytest.raises(LimitError, match=r"PC760(.|\n)*variables="):
        from_networkx(graph)


def npy(shape: str, dtype: str = "<f8", data: bytes = b"") -> bytes:
    header = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def npz(path: Path, *contents: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in zip(SPLITS, contents, strict=False):
            archive.writestr(f"{name}.npy", content)
    return path


def test_an_archive_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    size = 2**26
    path = npz(tmp_path / "a.npz", *[npy(f"(1, {size})", "|u1", bytes(size))] * 3)
    with allow(arrays=2**27), pytest.raises(LimitError, match=r"PC760(.|\n)*arrays="):
        datasets.load_file(path)
    with allow(arrays=2**28):
        assert datasets.load_file(path).train.shape == (1, size)  # type: ignore[union-attr]


HEADERS = {
    "huge": npy("(1000000000000, 1000000000000)"),
    "negative": npy("(-1, -1)", data=bytes(8)),
    "beyond": npy("(10000000000000000000000000,)"),
    "deep": npy("(" * 2000),
    "nested": npy("(" * 90 + ")" * 90),
    "digits": npy("(" + "1" * 5000 + ",)"),
    "token": npy("(1,\n'''"),
    "objects": npy("(1, 1)", "|O", b"\x80\x04N."),
    "void": npy("(1000, 1000)", "|V0"),
    "words": npy("(1, 'a')", data=bytes(8)),
    "version": b"\x93NUMPY\x09\x00" + bytes(20),
    "empty": b"",
    "short": npy("(2, 2)", data=bytes(31)),
    "true": npy("(True, 1)", "|u1", bytes(3)),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_lie(tmp_path: Path, name: str) -> None:
    with pytest.raises(PCCompilerError, match="PC414"):
        datasets.load_file(npz(tmp_path / "a.npz", HEADERS[name]))
    from pccompiler.torch_backend.data.blocks import map_file

    (tmp_path / "a.npy").write_bytes(HEADERS[name])
    with pytest.raises(PCCompilerError, match="PC364"):
        map_file(tmp_path / "a.npy")


def test_arrays_come_back_as_numpy_wrote_them(tmp_path: Path) -> None:
    arrays = [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        np.zeros((0, 3), np.float32),
    ]
    train, valid, test = arrays
    np.savez(tmp_path / "a.npz", train=train, valid=valid, test=test)
    found = datasets.load_file(tmp_path / "a.npz")
    assert isinstance(found, datasets.Dataset)
    for array, part in zip(arrays, (found.train, found.valid, found.test), strict=True):
        np.testing.assert_array_equal(part, array)
        assert part.flags.c_contiguous
        assert part.flags.writeable


DEEP = 20_000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.nnf", "nnf {n} {n} 1\nL 1\n" + "".join(f"A 1 {i}\n" for i in range(DEEP - 1))),
        ("a.spn", "".join(f"{i} * {i + 1}\n" for i in range(DEEP)) + f"{DEEP} c 1 0.5 0.5\n"),
        ("a.bif", "network x " + "{" * DEEP + "}"),
        ("a.pcir", "pcir 1\nvariable x binary\n%0 = input x bernoulli 1 @0\nweight @0 0.5\n"
         + "".join(f"%{i + 1} = product %{i}\n" for i in range(DEEP)) + f"root %{DEEP}\n"),
    ],
    ids=["nnf", "spn", "bif", "pcir"],
)  # fmt: skip
def test_deep_nesting_does_not_recurse(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text.replace("{n}", str(DEEP)))
    if name == "a.bif":
        with pytest.raises(PCCompilerError, match="PC73"):
            read(tmp_path / name)
    else:
        verify(read(tmp_path / name))


def test_deep_vtrees_do_not_recurse(tmp_path: Path) -> None:
    n = 50_000
    lines = [f"vtree {2 * n - 1}", *(f"L {i} {i + 1}" for i in range(n))]
    lines += [f"I {n + i} {n + i - 1 if i else 0} {i + 1}" for i in range(n - 1)]
    assert len(Vtree.from_text("\n".join(lines)).order) == n


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("ending", ["pcir", "psdd", "spn", "sdd", "nnf", "bif", "spn.gz"])
def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"pipe.{ending}")
    (tmp_path / f"folder.{ending}").mkdir()
    for path in (
        tmp_path / f"pipe.{ending}",
        tmp_path / f"folder.{ending}",
        tmp_path / f"a\0b.{ending}",
        tmp_path / ("n" * 999 + f".{ending}"),
        tmp_path / f"\udcff.{ending}",
    ):
        with pytest.raises(PCCompilerError, match="PC701"):
            read(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("ending", ["npz", "npy", "csv"])
def test_data_that_are_no_file_are_refused_without_waiting(tmp_path: Path, ending: str) -> None:
    from pccompiler.torch_backend.data.blocks import map_file

    os.mkfifo(tmp_path / f"pipe.{ending}")
    for path in (tmp_path / f"pipe.{ending}", tmp_path / f"a\0.{ending}", tmp_path / ("n" * 999)):
        with pytest.raises(PCCompilerError, match="PC4"):
            datasets.load_file(path)
        with pytest.raises(PCCompilerError, match="PC"):
            list(map(numbers_of, read_lines(path, 1))) if ending == "csv" else map_file(path)


NAMES: dict[str, Callable[[Path], None]] = {
    ".": lambda path: None,
    "..": lambda path: None,
    "a\0b": lambda path: None,
    "pipe": os.mkfifo,
    "folder": lambda path: path.mkdir(),
    "n" * 999: lambda path: None,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_odd_names_of_weights_files(tmp_path: Path, name: str) -> None:
    NAMES[name](tmp_path / name)
    text = f'pcir 1\nvariable x binary\nroot %a\nweights "{name}" sha256={"0" * 64}\n'
    (tmp_path / "a.pcir").write_text(text)
    with pytest.raises(PCCompilerError, match=r"PC213.*cannot be read"):
        read_circuit(tmp_path / "a.pcir")


def test_texts_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.pcir").write_bytes(b"pcir 1\nvariable \xff binary\n")
    with pytest.raises(PCCompilerError, match=r"a.pcir: error\[PC201\].*byte 16"):
        read_circuit(tmp_path / "a.pcir")
    with pytest.raises(OptionError, match=r"PC302.*str, not bytes"):
        parse(b"pcir 1\n")  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["9" * 5000, "0" * 5000 + "2", "1" * 999_999])
def test_integers_of_thousands_of_digits(word: str) -> None:
    with pytest.raises(PCCompilerError, match="PC211"):
        parse(f"pcir 1\nvariable x categorical {word}\n")
    with pytest.raises(PCCompilerError, match="PC124"):
        Vtree.from_text(f"L 0 {word}\n")


def test_long_unknown_words_are_not_compared(tmp_path: Path) -> None:
    names = "".join(f"variable {'x' * 5000}{i} binary\n" for i in range(300))
    with pytest.raises(PCCompilerError, match="PC207"):
        parse(f"pcir 1\n{names}%a = input {'x' * 5000} bernoulli 1 @a\nroot %a\n")


# The mechanism itself.


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current() == Limits()
    monkeypatch.setenv(ENVIRONMENT, "states=7, nodes=0012")
    assert current() == Limits(states=7, nodes=12)
    with allow(nodes=5):
        assert current() == Limits(states=7, nodes=5)
    assert current() == Limits(states=7, nodes=12)


@pytest.mark.parametrize(
    "text",
    ["states", "states=", "states=-1", "states=0", "states=1e6", "rows=3", "states=" + "9" * 99],
)
def test_limits_that_cannot_be(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, text)
    with pytest.raises(OptionError, match="PC761"):
        current()


@pytest.mark.parametrize("limits", [{"states": 0}, {"states": True}, {"rows": 3}, {"nodes": 1.5}])
def test_limits_that_cannot_be_allowed(limits: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="PC761"), pccompiler.limits.allow(**limits):
        pass


def test_an_odd_stream_of_members_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("train.npy", npy("(1, 1)", data=bytes(8)))
    encrypted = bytearray(stream.getvalue())
    for place in (encrypted.index(b"PK\x03\x04") + 6, encrypted.index(b"PK\x01\x02") + 8):
        encrypted[place] |= 1  # the flag of encryption
    (tmp_path / "a.npz").write_bytes(encrypted)
    with pytest.raises(PCCompilerError, match=r"PC414(.|\n)*encrypted"):
        datasets.load_file(tmp_path / "a.npz")
