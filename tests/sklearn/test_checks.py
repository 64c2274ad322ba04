"""What scikit-learn demands of estimators, and the page that says how much of it ours do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sklearn
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from pccompiler.sklearn import PCClassifier, PCDensity, PCImputer, PCOutlierDetector

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "scikit-learn.md").read_text()
SMALL: dict[str, Any] = {"units": 2, "max_iter": 3, "device": "cpu"}
KINDS = (PCClassifier, PCDensity, PCImputer, PCOutlierDetector)


@parametrize_with_checks(  # type: ignore[untyped-decorator]  # scikit-learn has no types
    [*(kind(**SMALL) for kind in KINDS), PCImputer(**SMALL, strategy="draw", random_state=0)]
)
@pytest.mark.filterwarnings("ignore")  # some checks warn of the data that they make
def test_scikit_learn_is_content(
    estimator: BaseEstimator, check: Callable[[BaseEstimator], None]
) -> None:
    check(estimator)


def number_of_checks(kind: type[BaseEstimator]) -> int:
    return len(list(estimator_checks_generator(kind(**SMALL), legacy=True)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_tells_the_number_of_checks(kind: type[BaseEstimator]) -> None:
    """All of them pass: those above, and the one below."""
    told = re.search(rf"^\| `{kind.__name__}` \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert told is not None
    assert [int(number) for number in told.groups()] == [number_of_checks(kind)] * 2
    assert f"scikit-learn {sklearn.__version__}" in PAGE


def test_the_check_of_array_types_passes() -> None:
    code = (
        "import warnings\nfrom sklearn.utils.estimator_checks import check_array_api_input\n"
        "import pccompiler.sklearn as ours\nwarnings.simplefilter('ignore')\n"
        "for name in ours.__all__:\n"
        f"    check_array_api_input(name, getattr(ours, name)(**{SMALL}), 'numpy',\n"
        "        expect_only_array_outputs=False)\n"
        "print('passed')\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == "passed\n", found.stderr
