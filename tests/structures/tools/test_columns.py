"""Structures learned from data frames: columns by name."""

from __future__ import annotations

import numpy as np
import pytest

from pccompiler import structures
from pccompiler.datasets import split
from pccompiler.errors import DataError
from pccompiler.ir import binary


def test_columns_of_frames_are_taken_by_name() -> None:
    pd = pytest.importorskip("pandas")
    x = np.random.default_rng(0).integers(0, 2, (40, 3))
    frame = pd.DataFrame(x, columns=["wet", "rain", "hose"])
    found = structures.chow_liu(frame)
    assert [v.name for v in found.variables] == ["wet", "rain", "hose"]
    variables = [binary("rain"), binary("hose"), binary("wet")]
    by_name = structures.chow_liu(frame, variables)
    assert by_name.fingerprint == structures.chow_liu(x[:, [1, 2, 0]], variables).fingerprint
    with pytest.raises(DataError, match=r"PC450.*'snow'"):
        structures.chow_liu(frame, [*variables, binary("snow")])
    with pytest.raises(DataError, match="no column names"):
        split(frame, 0)
