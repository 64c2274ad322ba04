"""Estimators in pickles."""

from __future__ import annotations

import io
import pickle
import pickletools
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from pccompiler.ir.arrays import Float, Int
from pccompiler.sklearn import PCClassifier, PCDensity
from pccompiler.sklearn.state import Stored, restored

SMALL: dict[str, Any] = {"units": 2, "max_iter": 5, "random_state": 0, "device": "cpu"}


@pytest.mark.parametrize("structure", ["hclt", "learn-spn", "mixture", "rat-spn"])
def test_answers_are_the_same_after_a_pickle(table: Float, structure: str) -> None:
    x = table[:, 1:3]
    density = PCDensity(structure=structure, max_iter=5, random_state=0, device="cpu").fit(x)
    again = pickle.loads(pickle.dumps(density))
    np.testing.assert_array_equal(again.score_samples(x), density.score_samples(x))
    np.testing.assert_array_equal(again.sample(9, 0), density.sample(9, 0))


def test_joblib_and_copies(table: Float, side: Int, tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    model = PCClassifier(**SMALL).fit(table, side)
    joblib.dump(model, tmp_path / "model.joblib")
    for again in (joblib.load(tmp_path / "model.joblib"), deepcopy(model)):
        np.testing.assert_array_equal(again.predict_proba(table), model.predict_proba(table))
    fresh: Any = clone(model)
    with pytest.raises(NotFittedError):
        fresh.predict(table)


def test_a_pickle_holds_nothing_of_torch(table: Float, side: Int) -> None:
    blob = pickle.dumps(PCClassifier(**SMALL).fit(table, side))
    names = {str(arg) for _, arg, _ in pickletools.genops(io.BytesIO(blob)) if arg is not None}
    assert not any(name.startswith("torch") for name in names)


def test_a_model_of_a_gpu_that_is_not_here_goes_to_the_cpu(table: Float) -> None:
    state = PCDensity(**SMALL).fit(table).__getstate__()
    kept = state["model_"]
    assert isinstance(kept, Stored)
    there = Stored(kept.circuit, kept.parameters, "cuda:99")
    assert restored(there).device.type == "cpu"


def test_without_scikit_learn_the_error_names_the_extra() -> None:
    code = (
        "import importlib.util as u\nfind = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'sklearn' else find(name)\n"
        "try:\n    import pccompiler.sklearn\nexcept ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "PC820" in done.stdout
    assert "pip install 'pccompiler[sklearn]'" in done.stdout
