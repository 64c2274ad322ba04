"""Outliers in scikit-learn's convention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Float
from pccompiler.sklearn import PCOutlierDetector


def test_strange_rows_have_negative_decisions(table: Float) -> None:
    options: dict[str, Any] = {"units": 2, "max_iter": 10, "random_state": 0, "device": "cpu"}
    detector = PCOutlierDetector(contamination=0.05, **options).fit(table)
    assert (detector.predict(table) == -1).sum() == 6  # 5 % of 120 rows
    strange = table.copy()
    strange[:, 0] = strange[::-1, 0] + 20.0
    assert (detector.predict(strange) == -1).all()
    scores = np.append(detector.score_samples(table), detector.score_samples(strange))
    np.testing.assert_allclose(
        detector.decision_function(table) + detector.offset_, detector.score_samples(table)
    )
    assert roc_auc_score(np.repeat([1, 0], 120), scores) > 0.99


@pytest.mark.parametrize("contamination", [0.0, 0.6, "auto"])
def test_invalid_contaminations_are_refused(table: Float, contamination: float) -> None:
    with pytest.raises(OptionError, match="contamination"):
        PCOutlierDetector(contamination=contamination).fit(table)
