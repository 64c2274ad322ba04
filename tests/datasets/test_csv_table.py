from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pccompiler.datasets import Table, load_file
from pccompiler.errors import DataError

Golden = Callable[[str], None]
Scrub = Callable[[DataError, Path], str]
NAN = math.nan


def table(path: Path) -> Table:
    found = load_file(path)
    assert isinstance(found, Table)
    return found


@pytest.mark.parametrize(
    ("text", "columns", "values"),
    [
        ("0,1\n1,0\n", None, [[0, 1], [1, 0]]),
        ("wet,dry\n1,0\n", ("wet", "dry"), [[1, 0]]),
        ('"wet, all day", dry \n1, 0.5\n', ("wet, all day", "dry"), [[1, 0.5]]),
        (",a\n0,1\n", ("", "a"), [[0, 1]]),  # as pandas writes an index
        ("1,,nan\r\n?, NaN ,-2.5e-3", None, [[1, NAN, NAN], [NAN, NAN, -0.0025]]),
        ("?,\n1,2\n", None, [[NAN, NAN], [1, 2]]),
        ("\ufeffa\n\n3\n\n", ("a",), [[3]]),
        (".5,5.,+1\n", None, [[0.5, 5, 1]]),
    ],
)
def test_reads(
    tmp_path: Path, text: str, columns: tuple[str, ...] | None, values: list[list[float]]
) -> None:
    (tmp_path / "x.csv").write_text(text, encoding="utf-8", newline="")
    found = table(tmp_path / "x.csv")
    assert found.columns == columns
    assert found.values.dtype == np.float64
    assert found.values.flags.c_contiguous
    np.testing.assert_array_equal(found.values, values)


entries = st.floats(allow_infinity=False)


@given(values=arrays(np.float64, array_shapes(min_dims=2, max_dims=2), elements=entries))
def test_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray
) -> None:
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_text("\n".join(",".join(map(repr, row)) for row in values.tolist()))
    np.testing.assert_array_equal(table(path).values, values)


def test_many_distinct_values(tmp_path: Path) -> None:
    """More distinct values than are remembered."""
    values = np.random.default_rng(0).random((40_000, 2))
    path = tmp_path / "x.csv"
    path.write_text("\n".join(f"{a!r},{b!r}" for a, b in values.tolist()))
    np.testing.assert_array_equal(table(path).values, values)


def test_findings(tmp_path: Path, golden: Golden, scrubbed: Scrub) -> None:
    texts: list[str] = []

    def fails(content: str | bytes) -> None:
        path = tmp_path / "x.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(DataError) as caught:
            table(path)
        texts.append(scrubbed(caught.value, tmp_path))

    fails("wet,dry\n1,0\n1,o\n\n1\nyes,0,1_0\n")
    fails("1,o\n0,1\n")
    fails("1\n1,2\n")  # NumPy would broadcast the one cell
    fails("1,2\n1\n")
    fails("1,inf\n1,1e999\n")
    fails("wet,dry\n")
    fails("")
    fails("a,b,a\n1,2,3\n")
    fails('1,"2\n3,4\n')
    fails(b"1,\xff\n")
    golden("\n".join(texts))


def test_stops_after_ten_findings(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("0,0\n" + "a,b\n" * 100)
    with pytest.raises(DataError) as caught:
        load_file(tmp_path / "x.csv")
    assert len(caught.value.diagnostics) == 10
