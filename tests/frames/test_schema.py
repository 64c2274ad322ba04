"""Schemas: what they find in data frames, and rows there and back."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import PCCompilerError
from pccompiler.frames.columns import source_of
from pccompiler.ir import parse, to_text

Golden = Callable[[str], None]
Make = Callable[[Mapping[str, Sequence[Any]]], Any]
Columns = dict[str, list[Any]]
MAKERS: dict[str, Make] = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}

PATIENTS: Columns = {
    "blood group": ["B", None, "A", "0"],
    "smokes": [True, None, False, True],
    "visits": [1, None, 3, 0],
    "weight": [61.5, None, 82.0, 70.25],
    "male": [0, 1, 1, 0],
    "income": [41_000, 0, 12_345, 99_999],
    "change": [-1, 2, 0, 1],
}
CODED = [
    [2, 1, 1, 61.5, 0, 41_000, -1],
    [np.nan, np.nan, np.nan, np.nan, 1, 0, 2],
    [1, 0, 3, 82.0, 1, 12_345, 0],
    [0, 1, 0, 70.25, 0, 99_999, 1],
]
VALUES: tuple[st.SearchStrategy[Any], ...] = (
    st.text(min_size=1, max_size=3),
    st.booleans(),
    st.integers(0, 300),
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)


@st.composite
def tables(draw: st.DrawFn) -> Columns:
    """Columns of all kinds, with missing values; a text has at least two labels."""
    number = draw(st.integers(2, 6))
    names = draw(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=4, unique=True))
    found: Columns = {}
    for name in names:
        kind = draw(st.sampled_from(VALUES))
        known = draw(st.lists(kind, min_size=2, max_size=2, unique=True))
        rest = draw(st.lists(st.none() | kind, min_size=number - 2, max_size=number - 2))
        found[name] = draw(st.permutations(known + rest))
    return found


def lists(frame: Any) -> Columns:
    """The columns of a data frame as lists, ``None`` where a value is missing."""
    table = pa.Table.from_pandas(frame) if isinstance(frame, pd.DataFrame) else frame
    found: Columns = (
        table.to_pydict() if isinstance(table, pa.Table) else table.to_dict(as_series=False)
    )
    return found


@pytest.mark.parametrize("library", MAKERS)
@settings(max_examples=30)
@given(columns=tables(), data=st.data())
def test_frames_survive_in_any_order(library: str, columns: Columns, data: st.DataObject) -> None:
    make = MAKERS[library]
    schema = pc.Schema.infer(make(columns))
    rows = schema.encode(make(columns))
    order = data.draw(st.permutations(list(columns)))
    np.testing.assert_array_equal(
        schema.encode(make({name: columns[name] for name in order})), rows
    )
    decoded = schema.decode(rows)
    assert type(decoded) is type(make(columns))
    assert lists(decoded) == columns
    np.testing.assert_array_equal(schema.encode(decoded), rows)
    records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    np.testing.assert_array_equal(schema.encode(records), rows)


@settings(max_examples=30)
@given(columns=tables())
def test_schemas_survive_json_and_circuits(columns: Columns) -> None:
    schema = pc.Schema.infer(pl.DataFrame(columns))
    assert pc.Schema.from_dict(json.loads(json.dumps(schema.as_dict()))) == schema
    circuit = pc.naive_bayes_mixture(schema.variables, 2)
    assert parse(to_text(circuit)).variables == schema.variables  # every name can be written
    assert pc.Schema.of(circuit.variables) == schema


def test_decides_alike_for_all_libraries(make: Make, golden: Golden) -> None:
    schema = pc.Schema.infer(make(PATIENTS))
    np.testing.assert_array_equal(schema.encode(make(PATIENTS)), CODED)
    golden(f"{schema}\n\n{schema!r}\n")


def test_replaces_what_was_decided(golden: Golden) -> None:
    schema = pc.Schema.infer(pd.DataFrame(PATIENTS))
    changed = schema.replace(
        visits="categorical", male="categorical", income="count", change=range(-2, 3), smokes="real"
    ).replace(**{"blood group": ["0", "A", "B", "AB"]})
    assert schema.names == changed.names
    assert schema["visits"].domain == "count"  # unchanged
    golden(f"{changed}\n")


def test_a_state_that_did_not_occur_in_training_has_a_place() -> None:
    train, valid = pl.DataFrame({"x": [0, 1, 2, 3]}), pl.DataFrame({"x": [4]})
    for schema in (pc.Schema.infer(train), pc.Schema.infer(train).replace(x=range(5))):
        model: Any = pc.compile(pc.naive_bayes_mixture(schema.variables, 2))
        pc.fit(model, train, valid, steps=2, progress=False)
        assert np.isfinite(model.log_likelihood(valid).to_list()).all()


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(pd.Categorical(["u", None, "v"], categories=["w", "v", "u"])),
        pd.Series(pd.Categorical(["u", None, "v"], categories=["w", "v", "u"], ordered=True)),
        pl.Series(["u", None, "v"], dtype=pl.Enum(["w", "v", "u"])),
    ],
)
def test_declared_categories_keep_their_order(column: Any) -> None:
    frame = type(column)([1]).to_frame().__class__({"x": column})
    schema = pc.Schema.infer(frame)
    assert source_of(schema["x"]).labels == ("w", "v", "u")
    np.testing.assert_array_equal(schema.encode(frame), [[2], [np.nan], [1]])


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["u", None, "v"]).dictionary_encode(),
        pl.Series(["u", None, "v"], dtype=pl.Categorical),
        pd.Series(["u", None, "v"], dtype="string"),
        pd.Series(["u", None, "v"], dtype=object),
    ],
)
def test_types_of_text(column: Any) -> None:
    frame = (
        pa.table({"x": column})
        if isinstance(column, pa.Array)
        else column.to_frame("x")
        if (isinstance(column, pd.Series))
        else pl.DataFrame({"x": column})
    )
    schema = pc.Schema.infer(frame)
    np.testing.assert_array_equal(schema.encode(frame), [[0], [np.nan], [1]])


def test_numbers_with_gaps_are_whole() -> None:
    frame = pd.DataFrame({"a": pd.array([1, None, 7], "Int64"), "b": pd.array([True, None, False])})
    schema = pc.Schema.infer(frame)
    assert [v.domain for v in schema.variables] == ["count", "binary"]
    np.testing.assert_array_equal(schema.encode(frame), [[1, 1], [np.nan, np.nan], [7, 0]])


def test_labels_that_are_equal_numbers_are_the_same() -> None:
    schema = pc.Schema.infer(pd.DataFrame({"a": [True, False], "b": [1, 5]})).replace(b=[1, 5])
    frame = pd.DataFrame({"a": [1.0, None], "b": [5.0, None]})
    np.testing.assert_array_equal(schema.encode(frame), [[1, 1], [np.nan, np.nan]])


def test_names_of_columns_become_names_of_variables() -> None:
    names = ["a b", "a%b", "7", "größe", "ok", "a_b"]
    schema = pc.Schema.infer(pl.DataFrame({name: [0.5, 1.5] for name in names}))
    assert schema.names == tuple(names)
    assert [v.name for v in schema.variables] == ["a_b", "a_b_2", "x7", "gr_e", "ok", "a_b_3"]


def attempts() -> dict[str, Callable[[], object]]:
    frame = pd.DataFrame({"color": ["red", "blue", "green"], "age": [3, 4, 500]})
    schema = pc.Schema.infer(frame)
    other = pc.compile(pc.rat_spn(2, num_replicas=1, units=1))
    own = pc.compile(pc.naive_bayes_mixture(schema.variables, 2))
    dates = pd.DataFrame({"born": pd.to_datetime(["2001-02-03", "2001-02-04"])})

    def give(schema: Any) -> None:
        other.schema = schema

    return {
        "unknown label": lambda: own.log_likelihood(frame.assign(color=["red", "rod", "blue"])),
        "unknown label of a dict": lambda: own.log_marginal({"color": "purple"}),
        "text for a number": lambda: own.log_likelihood(frame.assign(age=["3", "4", "old"])),
        "text in a number": lambda: own.log_likelihood(
            frame.assign(age=pd.Series([3, "old", 4], dtype=object))
        ),
        "number for text": lambda: own.log_likelihood(frame.assign(color=[0, 1, 2])),
        "column absent": lambda: own.log_likelihood(frame[["age"]]),
        "column too many": lambda: own.log_marginal(frame.assign(id=[1, 2, 3])),
        "not a frame": lambda: pc.Schema.infer([[1, 2]]),
        "lazy frame": lambda: pc.Schema.infer(pl.from_pandas(frame).lazy()),
        "no columns": lambda: pc.Schema.infer(pl.DataFrame()),
        "names that are numbers": lambda: pc.Schema.infer(pd.DataFrame([[1, 2]])),
        "date": lambda: pc.Schema.infer(dates),
        "lists": lambda: pc.Schema.infer(pl.DataFrame({"x": [[1, 2], [3]]})),
        "mixed": lambda: pc.Schema.infer(pd.DataFrame({"x": pd.Series([1, "a"], dtype=object)})),
        "single label": lambda: pc.Schema.infer(pl.DataFrame({"x": ["a", "a"]})),
        "replace unknown": lambda: schema.replace(colour="real"),
        "replace with nonsense": lambda: schema.replace(age="integer"),
        "replace with twice the same": lambda: schema.replace(color=["red", "red"]),
        "replace text by a number": lambda: schema.replace(color="count"),
        "replace three by two": lambda: schema.replace(color="binary"),
        "replace with strange labels": lambda: schema.replace(color=[math.nan, "red"]),
        "decode nonsense": lambda: schema.decode([[7, 1]]),
        "decode into nothing": lambda: pc.Schema((pc.ir.real("x"),)).decode([[7.0]]),
        "schema of another circuit": lambda: give(schema),
        "schema of more": lambda: give(pc.Schema((*other.circuit.variables, pc.ir.real("y")))),
        "no schema at all": lambda: give({"x": "real"}),
        "not a schema": lambda: pc.Schema.from_dict({"columns": [{"column": 3}]}),
    }


def test_errors(golden: Golden) -> None:
    texts: list[str] = []
    for name, attempt in attempts().items():
        with pytest.raises(PCCompilerError) as caught:
            attempt()
        texts.append(f"{name}:\n{caught.value}\n")
    golden("\n".join(texts))


def test_says_what_to_install(monkeypatch: pytest.MonkeyPatch, golden: Golden) -> None:
    schema = pc.Schema.infer(pl.DataFrame({"x": [0.5, 1.5]}))
    monkeypatch.setattr("pccompiler.frames.native.find_spec", lambda name: None)
    with pytest.raises(PCCompilerError) as caught:
        schema.decode([[0.5]])
    golden(f"{caught.value}\n")


def test_importing_loads_no_library_of_frames() -> None:
    code = (
        "import sys, pccompiler as pc; pc.Schema; "
        "print({'narwhals', 'pandas', 'polars', 'pyarrow', 'torch'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
