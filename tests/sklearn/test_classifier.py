"""Bayes' rule with missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import cross_val_score

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Float, Int
from pccompiler.sklearn import PCClassifier

SMALL: dict[str, Any] = {"units": 1, "max_iter": 5, "random_state": 0, "device": "cpu"}


def test_posteriors_are_those_of_the_distribution() -> None:
    """Two normal distributions of deviation 1, a part 2 from each other in both columns."""
    rng = np.random.default_rng(0)
    y = (rng.random(4000) < 0.3).astype(int)
    x = rng.normal(size=(4000, 2)) + 2.0 * y[:, None]
    model = PCClassifier(**SMALL, validation_fraction=0.0).fit(x, y)
    rows = np.array([[1.0, 1.0], [2.0, np.nan], [np.nan, 0.5], [np.nan, np.nan]])
    logits = np.log(0.3 / 0.7) + np.array([0.0, 2.0, -1.0, 0.0])
    found = model.predict_proba(rows)
    np.testing.assert_allclose(found[:, 1], 1.0 / (1.0 + np.exp(-logits)), atol=0.03)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    np.testing.assert_allclose(np.exp(model.predict_log_proba(rows)), found)


def test_labels_may_be_text_and_priors_given(table: Float, side: Int) -> None:
    y = np.array(["left", "right"])[side]
    model = PCClassifier(**SMALL, priors=[0.9, 0.1]).fit(table, y)
    assert model.score(table, y) > 0.9
    np.testing.assert_allclose(model.predict_proba(np.full((1, 4), np.nan)), [[0.9, 0.1]])
    assert PCClassifier(**SMALL, priors=[0.0, 1.0]).fit(table, y).predict(table)[0] == "right"


def test_impossible_rows_have_the_prior(table: Float, side: Int) -> None:
    model = PCClassifier(**SMALL, priors=[0.0, 1.0]).fit(table, side)
    far = np.array([[1e200, np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(model.predict_proba(far), [[0.0, 1.0]])


def test_scores_by_cross_validation_with_gaps(table: Float, side: Int) -> None:
    gaps = np.where(np.random.default_rng(0).random(table.shape) < 0.3, np.nan, table)
    assert cross_val_score(PCClassifier(**SMALL), gaps, side, cv=3).mean() > 0.85


@pytest.mark.parametrize("priors", [[0.5], [0.6, 0.6], [-0.5, 1.5], [np.nan, 1.0]])
def test_other_priors_are_refused(table: Float, side: Int, priors: list[float]) -> None:
    with pytest.raises(OptionError, match=r"PC823.*for 2 classes"):
        PCClassifier(**SMALL, priors=priors).fit(table, side)
