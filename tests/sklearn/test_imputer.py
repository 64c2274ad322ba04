"""Completion of gaps."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Float, Int
from pccompiler.sklearn import PCImputer
from pccompiler.sklearn.imputer import Strategy

SMALL: dict[str, Any] = {"units": 2, "max_iter": 20, "random_state": 0, "device": "cpu"}
STRATEGIES = get_args(Strategy)


def with_gaps(table: Float) -> Float:
    gaps = np.where(np.random.default_rng(2).random(table.shape) < 0.3, np.nan, table)
    gaps[0] = np.nan
    return gaps


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_gaps_are_filled_by_what_is_known(table: Float, side: Int, strategy: Strategy) -> None:
    gaps = with_gaps(table)
    filled = PCImputer(**SMALL, strategy=strategy).fit_transform(gaps)
    known = ~np.isnan(gaps)
    np.testing.assert_array_equal(filled[known], gaps[known])
    assert set(filled[:, 1]) == {-1.0, 2.0, 7.0}
    missing = ~known[:, 3] & known[:, :3].all(axis=1)
    assert missing.sum() > 5
    near = np.abs(filled[missing, 3] / 1e6 - side[missing]) < 0.5
    assert near.mean() > 0.7


def test_draws_have_the_spread_of_the_column(table: Float) -> None:
    rows = np.full((2000, 4), np.nan)
    drawn = PCImputer(**SMALL, strategy="draw").fit(table).transform(rows)
    assert drawn[:, 0].std() == pytest.approx(table[:, 0].std(), rel=0.2)
    mean = PCImputer(**SMALL).fit(table).transform(rows)
    assert mean[:, 0].std() < 1e-6
    assert mean[0, 0] == pytest.approx(table[:, 0].mean(), abs=0.3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_odd_rows_are_completed(table: Float, strategy: Strategy) -> None:
    """An impossible value, a category that training did not show, a column without values."""
    empty = np.column_stack([table, np.full(len(table), np.nan)])
    imputer = PCImputer(**SMALL, strategy=strategy).fit(empty)
    rows = np.array([[1e200, np.nan, 1.0, 1.0, np.nan], [np.nan, 3.0, 1.0, 1e6, np.nan]])
    filled = imputer.transform(rows)
    assert np.isfinite(filled).all()
    assert filled[0, 0] == 1e200
    assert filled[1, 1] == 3.0
    if strategy != "draw":
        np.testing.assert_allclose(filled[:, 4], 0.0, atol=1e-6)


def test_frames_keep_their_names(table: Float) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(with_gaps(table), columns=["a", "b", "c", "d"])
    imputer = PCImputer(**SMALL, categorical_features=["b", "c"]).set_output(transform="pandas")
    filled = imputer.fit_transform(frame)
    assert list(filled.columns) == ["a", "b", "c", "d"]
    assert list(imputer.get_feature_names_out()) == ["a", "b", "c", "d"]
    assert not filled.isna().any(axis=None)


def test_unknown_strategies_are_refused(table: Float) -> None:
    with pytest.raises(OptionError, match="strategy is 'median'"):
        PCImputer(strategy="median").fit(table)  # type: ignore[arg-type]
