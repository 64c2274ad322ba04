"""Questions asked with data frames get the answers that tensors get, as frames."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

import pccompiler as pc
from pccompiler.torch_backend import CompiledCircuit

Make = Callable[[Mapping[str, Sequence[Any]]], Any]
MAKERS: dict[str, Make] = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}
COLUMNS: dict[str, list[Any]] = {
    "blood group": ["A", "B", "0", "A", "B", "0"],
    "smokes": [True, False, True, None, False, True],
    "visits": [1, 0, 3, 2, 2, 1],
    "weight": [61.5, 70.0, 82.0, None, 64.5, 71.0],
}
DISCRETE = ["blood group", "smokes"]


def model_of(frame: Any) -> CompiledCircuit:
    schema = pc.Schema.infer(frame)
    model = pc.compile(pc.naive_bayes_mixture(schema.variables, 3), dtype="float64", seed=1)
    pc.fit_em(model, frame, iterations=3, progress=False)
    return model


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


def rows_of(model: CompiledCircuit, frame: Any) -> torch.Tensor:
    assert model.schema is not None
    return torch.from_numpy(model.schema.encode(frame, partial=True))


def numbers(values: Any) -> np.ndarray:
    return np.asarray(values.to_numpy(), np.float64)


def test_numbers_are_series(make: Make) -> None:
    frame = make({name: COLUMNS[name] for name in reversed(COLUMNS)})
    model = model_of(make(COLUMNS))
    x = rows_of(model, frame)
    part = make({"visits": COLUMNS["visits"]})
    for found, expected in (
        (model.log_likelihood(frame), model.log_likelihood(x)),
        (model.log_marginal(part), model.log_marginal(rows_of(model, part))),
        (model.log_marginal(frame, ["weight"]), model.log_marginal(x, [3])),
        (
            model.log_conditional(part, {"smokes": True}),
            model.log_conditional(rows_of(model, part), {"smokes": 1}),
        ),
        (model.expectation({"visits": [0, 1]}, part), None),
    ):
        assert type(found) is type(make({"x": [1.0]})["x"])
        if expected is not None:
            np.testing.assert_array_equal(numbers(found), expected.detach().numpy())


def test_rows_are_frames_with_labels(make: Make) -> None:
    model, frame = model_of(make(COLUMNS)), make(COLUMNS)
    schema, x = model.schema, rows_of(model, frame)
    assert schema is not None
    found = model.mpe(frame)
    assert type(found.rows) is type(frame)
    np.testing.assert_array_equal(schema.encode(found.rows), model.mpe(x).rows)
    np.testing.assert_array_equal(numbers(found.log_value), model.mpe(x).log_value)
    draws = model.sample_conditional(frame, 2, seed=0)
    expected = model.sample_conditional(x, 2, seed=0)
    np.testing.assert_array_equal(schema.encode(draws), expected.flatten(0, 1))
    assert type(model.sample(4)) is type(frame)
    assert type(model.sample_conditional({"smokes": True})) is type(frame)
    assert type(model.mpe({"blood group": "A"}).rows) is type(frame)
    assert type(model.top_k_samples(2, draws=20, seed=0).rows) is type(frame)


def test_classes_have_names(make: Make) -> None:
    model, frame = model_of(make(COLUMNS)), make(COLUMNS)
    found: Any = model.classify(frame, "blood group")
    expected = model.classify(rows_of(model, frame), 0)
    assert type(found.log_probability) is type(frame)
    labels = ["0", "A", "B"]
    assert list(found.label.to_numpy()) == [labels[state] for state in expected.label.tolist()]
    for state, label in enumerate(labels):
        logs = numbers(found.log_probability[label])
        np.testing.assert_array_equal(logs, expected.log_probability[:, state].detach().numpy())


@pytest.mark.parametrize("variables", [None, ["weight", "blood group"]])
def test_posteriors_have_names(make: Make, variables: list[str] | None) -> None:
    model, frame = model_of(make(COLUMNS)), make({"visits": [3, None]})
    found: Any = model.posterior_marginals(frame, variables=variables)
    expected = model.posterior_marginals(rows_of(model, frame), variables=variables)
    asked = variables or list(COLUMNS)
    assert list(found.states) == [name for name in asked if name in DISCRETE]
    place = asked.index("blood group")
    np.testing.assert_array_equal(
        numbers(found.states["blood group"]["B"]), expected.states[:, place, 2]
    )
    np.testing.assert_array_equal(
        numbers(found.mean["weight"]), expected.mean[:, asked.index("weight")]
    )
    with pytest.raises((KeyError, pl.exceptions.ColumnNotFoundError)):
        found.mean["blood group"]  # a mean of labels says nothing


def test_the_best_completions_are_a_frame(make: Make) -> None:
    columns = {name: COLUMNS[name] for name in DISCRETE}
    model, frame = model_of(make(columns)), make({"smokes": [True, None]})
    found: Any = model.map(frame, k=2)
    expected = model.map(rows_of(model, frame), k=2)
    assert model.schema is not None
    np.testing.assert_array_equal(model.schema.encode(found.rows), expected.rows.flatten(0, 1))
    np.testing.assert_array_equal(numbers(found.log_value), expected.log_value.flatten())


def test_pandas_keeps_its_index() -> None:
    frame = pd.DataFrame(COLUMNS, index=list("uvwxyz"))
    model: Any = model_of(frame)
    assert list(model.log_likelihood(frame).index) == list("uvwxyz")
    assert model.log_likelihood(frame).name == "log_likelihood"
    assert list(model.mpe(frame[["visits"]]).rows.index) == list("uvwxyz")
    assert list(model.sample_conditional(frame[:2], 2).index) == list("uuvv")
    assert list(model.log_conditional({"smokes": True}, frame[["visits"]]).index) == list("uvwxyz")


def test_tensors_are_answered_with_tensors(make: Make) -> None:
    model = model_of(make(COLUMNS))
    x = rows_of(model, make(COLUMNS))
    for given in (x, x.numpy(), x.tolist()):
        assert isinstance(model.mpe(given).rows, torch.Tensor)
        assert isinstance(model.log_likelihood(given), torch.Tensor)
    assert model.log_likelihood({"blood group": "A"}).requires_grad
    assert model.log_likelihood(model.schema.encode({"smokes": True})).requires_grad  # type: ignore[union-attr]


def test_a_schema_stays_with_the_model(make: Make, tmp_path: Path) -> None:
    model = model_of(make(COLUMNS))
    pc.save(model, tmp_path / "model")
    loaded: Any = pc.load(tmp_path / "model")
    assert loaded.schema == model.schema
    assert str(loaded.schema) == str(model.schema)
    assert type(loaded.sample(2)) is type(make(COLUMNS))
    assert copy.deepcopy(model).schema == model.schema
    assert (
        pc.fit_many(model.circuit, make(COLUMNS), seeds=1, steps=1, progress=False).models[0].schema
        == model.schema
    )


def test_a_schema_can_be_given_later() -> None:
    frame = pd.DataFrame(COLUMNS)
    schema = pc.Schema.infer(frame)
    text = pc.ir.to_text(pc.naive_bayes_mixture(schema.variables[::-1], 2))
    model: Any = pc.compile(pc.ir.parse(text))
    assert model.schema is None
    model.schema = schema
    assert model.names == tuple(reversed(schema.names))
    assert isinstance(model.sample(3), pd.DataFrame)
    assert model.log_likelihood(frame).notna().all()
    model.schema = None
    assert isinstance(model.sample(3), torch.Tensor)


def test_numbers_of_evidence_come_back_as_they_were(make: Make) -> None:
    schema = pc.Schema.infer(make({"x": [36.7, 38.25, 0.1], "y": [0.3, 1.5, 2.0]}))
    model: Any = pc.compile(pc.naive_bayes_mixture(schema.variables, 2), dtype="float32")
    found = model.mpe(make({"x": [36.7, 0.1]})).rows["x"]
    assert found.to_numpy().tolist() == [36.7, 0.1]


def test_streams_of_frames(make: Make) -> None:
    model, frame = model_of(make(COLUMNS)), make(COLUMNS)
    parts = np.concatenate(list(model.log_likelihood_stream(iter([frame, frame]))))
    once = numbers(model.log_likelihood(frame))
    np.testing.assert_allclose(parts, np.concatenate([once, once]))


def test_structures_are_learned_from_encoded_frames(make: Make) -> None:
    frame = make({name: COLUMNS[name] * 20 for name in DISCRETE})
    schema = pc.Schema.infer(frame)
    circuit = pc.structures.learn_spn(schema.encode(frame), schema.variables)
    model: Any = pc.compile(circuit)
    assert type(model.mpe(frame).rows) is type(frame)


def test_other_models_of_the_circuit_know_the_schema() -> None:
    """Conditioning and renaming keep columns and labels; plots draw numbers."""
    frame = pd.DataFrame({name: COLUMNS[name] for name in DISCRETE})
    model: Any = model_of(frame)
    smoker = pc.binary("smokes")
    always: Any = model.condition_on(pc.naive_bayes_mixture([smoker], 1))
    assert isinstance(always.mpe({"smokes": True}).rows, pd.DataFrame)
    renamed: Any = pc.compile(model.trained_circuit().rename({"smokes": "smoker"}))
    assert renamed.names == ("blood group", "smoker")
    assert renamed.mpe({"smoker": True}).rows["smoker"].tolist() == [True]
    pc.plot.samples(model, 10, seed=0)
    plt.close("all")
