from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.datasets import Dataset, split
from pccompiler.errors import DataError

Golden = Callable[[str], None]


def rejoined(dataset: Dataset) -> np.ndarray:
    return np.concatenate([dataset.train, dataset.valid, dataset.test])


@given(num_rows=st.integers(10, 300), seed=st.integers(0, 2**32 - 1))
def test_keeps_each_row_once(num_rows: int, seed: int) -> None:
    x = np.arange(2.0 * num_rows).reshape(num_rows, 2)
    found = split(x, seed)
    assert len(found.train) == num_rows * 7 // 10
    assert len(found.valid) == num_rows // 10
    order = np.argsort(rejoined(found)[:, 0])
    np.testing.assert_array_equal(rejoined(found)[order], x)
    np.testing.assert_array_equal(rejoined(split(x, seed)), rejoined(found))


def test_shuffles_by_seed() -> None:
    x = np.arange(100).reshape(100, 1)
    first, second = (rejoined(split(x, seed)) for seed in (0, 1))
    assert not np.array_equal(first, x)
    assert not np.array_equal(first, second)


def test_sizes_are_exact() -> None:
    found = split(np.zeros((100, 1)), 0, (0.29, 0.01, 0.70))
    assert [len(found.train), len(found.valid), len(found.test)] == [29, 1, 70]


def test_keeps_missing_values_and_layout() -> None:
    x = np.asfortranarray(np.full((10, 3), np.nan))
    found = split(x, 0, name="garden")
    assert found.name == "garden"
    assert np.isnan(rejoined(found)).all()
    assert all(part.flags.c_contiguous for part in (found.train, found.valid, found.test))
    assert split(np.eye(10, dtype=bool), 0).train.dtype == np.uint8


def test_errors(golden: Golden) -> None:
    texts: list[str] = []
    x = np.zeros((10, 1))
    for array, fractions in (
        (x, (0.5, 0.1, 0.2)),
        (x, (0.8, 0.2, 0.0)),
        (x, (float("nan"), 0.5, 0.5)),
        (x[:3], (0.7, 0.1, 0.2)),
        (x[:, 0], (0.7, 0.1, 0.2)),
    ):
        with pytest.raises(DataError) as caught:
            split(array, 0, fractions)
        texts.append(str(caught.value))
    golden("\n".join(texts))
