"""Rows as people give them, against what they mean."""

from __future__ import annotations

import decimal
import fractions
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import DataError
from pccompiler.tables import as_table, column_of

NAMES = ("a", "b", "c")
NAN = np.nan


class Column:
    """A column of the stand-in for a data frame."""

    def __init__(self, values: Sequence[object]) -> None:
        self.values = values

    def to_numpy(self) -> Any:  # of any type
        return np.array(self.values)


class Frame:
    """As little as a data frame must have."""

    def __init__(self, **columns: Sequence[object]) -> None:
        self.table = columns

    @property
    def columns(self) -> list[str]:
        return list(self.table)

    def __getitem__(self, name: str) -> Column:
        return Column(self.table[name])

    def __len__(self) -> int:
        return len(next(iter(self.table.values()), ()))

    def to_numpy(self) -> Any:  # by position: nobody may ask
        raise AssertionError("columns are taken by name")


class NAType:
    """Named as pandas' missing value."""


MEANINGS: dict[str, tuple[object, list[list[float]]]] = {
    "list": ([[0, 1, 2]], [[0, 1, 2]]),
    "empty list": ([], []),
    "none in a list": ([[0, None, 2]], [[0, NAN, 2]]),
    "objects": (np.array([[0, None, 2.5]], object), [[0, NAN, 2.5]]),
    "numbers of all kinds": (
        np.array([[decimal.Decimal("0.5"), fractions.Fraction(1, 4), True]], object),
        [[0.5, 0.25, 1]],
    ),
    "pandas' missing value": (np.array([[NAType(), 1, 1]], object), [[NAN, 1, 1]]),
    "booleans": (np.array([[True, False, True]]), [[1, 0, 1]]),
    "half precision": (np.array([[0.5, NAN, 2]], np.float16), [[0.5, NAN, 2]]),
    "extended precision": (np.array([[0.5, NAN, 2]], np.longdouble), [[0.5, NAN, 2]]),
    "too large": (np.array([["1e4000", "1", "1"]], np.longdouble), [[np.inf, 1, 1]]),
    "reversed columns": (np.array([[2, 1, 0]])[:, ::-1], [[0, 1, 2]]),
    "other bytes first": (np.array([[0, 1, 2]], ">i4"), [[0, 1, 2]]),
    "masked": (np.ma.masked_array([[0, 1, 2]], mask=[[False, True, False]]), [[0, NAN, 2]]),
    "masked objects": (
        np.ma.masked_array(np.array([[0, 1, 2]], object), mask=[[False, True, False]]),
        [[0, NAN, 2]],
    ),
    "dict": ({"b": 1}, [[NAN, 1, NAN]]),
    "dict by number": ({2: 1, "a": None}, [[NAN, NAN, 1]]),
    "dicts": ([{"b": 1}, {}, {"c": True, "a": 0}], [[NAN, 1, NAN], [NAN] * 3, [0, NAN, 1]]),
    "frame": (Frame(a=[0, 3], b=[1, 4], c=[2, 5]), [[0, 1, 2], [3, 4, 5]]),
    "frame in another order": (Frame(c=[2, 5], a=[0, 3], b=[1, None]), [[0, 1, 2], [3, NAN, 5]]),
    "frame without rows": (Frame(c=[], a=[], b=[]), []),
}


@pytest.mark.parametrize("name", MEANINGS)
def test_what_is_meant(name: str) -> None:
    x, want = MEANINGS[name]
    found = as_table(x, NAMES)
    assert found.dtype.kind in "biuf"
    assert found.dtype.itemsize <= 8
    np.testing.assert_array_equal(found, np.array(want, float).reshape(-1, 3))


def test_arrays_are_not_copied() -> None:
    x = np.zeros((4, 3), np.uint8)
    x.flags.writeable = False
    assert np.shares_memory(as_table(x[::-1], NAMES), x)


def test_a_variable_without_a_column_is_missing_from_evidence_only() -> None:
    frame = Frame(b=[1, 0])
    np.testing.assert_array_equal(
        as_table(frame, NAMES, partial=True), [[NAN, 1, NAN], [NAN, 0, NAN]]
    )
    with pytest.raises(DataError, match=r"PC450.*no column 'a'"):
        as_table(frame, NAMES)


REFUSED: dict[str, object] = {
    "PC400 .*shape \\(3,\\)": [0, 1, 0],
    "PC400 .*shape \\(1, 2\\)": [[0, 1]],
    "PC400 .*shape \\(\\)": 5,
    "PC407 .*'q'": {"q": 1},
    "PC407 .*True": {True: 1},
    "PC407 .*3": [{"a": 1}, {3: 1}],
    "PC451 .*a column 'd', which": Frame(a=[0], b=[0], c=[0], d=[0]),
    "PC452 .*row 1: the value of 'b' is '1'": [{}, {"b": "1"}],
    "PC452 .*'a' is \\[0, 1\\]": {"a": [0, 1]},
    "PC452 .*row 1: the data hold 3 among dicts": [{}, 3],
    "PC452 .*row 1, column 2: the data hold 'x'": np.array([[0, 0, 0], [0, None, "x"]], object),
    "PC452 .*row 1, column 'b': the data hold 'x'": Frame(a=[0, 0], b=[None, "x"], c=[0, 0]),
    "PC452 .*column 'b': the data hold text": Frame(a=[0], b=["x"], c=[0]),
    "PC452 .*hold text": [["0", "1", "0"]],
    "PC452 .*hold complex128": np.zeros((1, 3), complex),
    "PC452 .*hold datetime64": np.zeros((1, 3), "M8[s]"),
    "PC452 .*different lengths": [[0, 1, 0], [0]],
    "PC452 .*are None": None,
    "PC452 .*of type str": "rows.csv",
    "PC452 .*10000": [[0, 10**400, 0]],
}


@pytest.mark.parametrize("pattern", REFUSED)
def test_refusals_name_the_culprit(pattern: str) -> None:
    code, words = pattern.split(" ", 1)
    with pytest.raises(DataError, match=code + words) as caught:
        as_table(REFUSED[pattern], NAMES)
    assert caught.value.diagnostics[0].help


def test_two_columns_of_one_name() -> None:
    class Twice(Frame):
        @property
        def columns(self) -> list[str]:
            return ["a", "a", "b"]

    with pytest.raises(DataError, match=r"PC451.*two columns 'a'"):
        as_table(Twice(a=[0]), NAMES)


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(DataError, match="did you mean 'rain'"):
        column_of("rian", ("rain", "wet"))


@given(st.permutations(NAMES), st.integers(0, 4), st.integers(0, 2**31))
def test_the_order_of_columns_does_not_matter(order: list[str], rows: int, seed: int) -> None:
    table = np.random.default_rng(seed).random((rows, 3)).round(2)
    columns = {name: table[:, NAMES.index(name)].tolist() for name in order}
    np.testing.assert_array_equal(as_table(Frame(**columns), NAMES), table)


def _pandas(pd: Any) -> dict[str, tuple[object, list[list[float]]]]:
    nullable = {
        "a": pd.array([1, None], dtype="Int64"),
        "b": pd.array([True, None], dtype="boolean"),
        "c": pd.array([1.5, None], dtype="Float64"),
    }
    return {
        "order": (pd.DataFrame({"c": [2], "a": [0], "b": [1]}), [[0, 1, 2]]),
        "nullable": (pd.DataFrame(nullable), [[1, 1, 1.5], [NAN] * 3]),
        "nullable objects": (pd.DataFrame(nullable).astype(object), [[1, 1, 1.5], [NAN] * 3]),
        "numbered": (pd.DataFrame([[0, 1, 2]]), [[0, 1, 2]]),
        "numbered anew": (pd.DataFrame([[0, 1, 2]], columns=[2, 1, 0]), [[2, 1, 0]]),
        "categories": (
            pd.DataFrame({"a": pd.Categorical([1, 0]), "b": [0, 1], "c": [0, 1]}),
            [[1, 0, 0], [0, 1, 1]],
        ),
    }


def _polars(pl: Any) -> dict[str, tuple[object, list[list[float]]]]:
    return {
        "order": (pl.DataFrame({"c": [2], "a": [0], "b": [1]}), [[0, 1, 2]]),
        "missing": (
            pl.DataFrame({"a": [1, None], "b": [True, None], "c": [1.5, None]}),
            [[1, 1, 1.5], [NAN] * 3],
        ),
    }


@pytest.mark.parametrize(("library", "cases"), [("pandas", _pandas), ("polars", _polars)])
def test_frames_of_libraries(
    library: str, cases: Callable[[Any], dict[str, tuple[object, list[list[float]]]]]
) -> None:
    for x, want in cases(pytest.importorskip(library)).values():
        np.testing.assert_array_equal(as_table(x, NAMES), want)
