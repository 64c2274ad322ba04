"""The methods that are compared, each with the settings among which validation rows choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.experimental import enable_iterative_imputer as enable_iterative_imputer
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.estimators.data import Array, Split
from pccompiler.sklearn import PCClassifier, PCImputer

Estimator = Any  # of scikit-learn, which has no type information
Fitted = Iterator[tuple[str, Estimator]]
"""Fitted estimators, each with a name of its settings."""
Method = Callable[[Split], Fitted]


def _circuits(kind: Callable[..., Estimator]) -> Fitted:
    for structure, units, categorical in product(("hclt", "mixture"), (2, 8), ("auto", [])):
        name = f"{structure}, {units} units" + ("" if categorical else ", all real")
        options = {"structure": structure, "units": units, "categorical_features": categorical}
        yield name, kind(**options, random_state=0)


def pc_classifier(data: Split) -> Fitted:
    """Ours; missing values are integrated out."""
    for name, estimator in _circuits(PCClassifier):
        yield name, estimator.fit(data.train.x, data.train.y)


def boosting(data: Split) -> Fitted:
    """Gradient boosting, whose trees send missing values down a branch."""
    for leaves, (name, x, y) in product((7, 31), _training(data, data.train.x, data.gaps)):
        estimator = HistGradientBoostingClassifier(max_leaf_nodes=leaves, random_state=0)
        yield f"{leaves} leaves{name}", estimator.fit(x, y)


def _training(data: Split, x: Array, gaps: Array) -> list[tuple[str, Array, Array]]:
    """The training rows; if they are complete, also these and a copy of them with deletions.

    Complete rows alone do not tell a method what a missing value means.
    """
    y = data.train.y
    found = [("", x, y)]
    if data.train.x is not data.gaps:
        found.append((", copy with gaps", np.concatenate([x, gaps]), np.concatenate([y, y])))
    return found


def regression(imputer: Estimator, data: Split) -> Fitted:
    """Logistic regression after an imputer that learns from rows with gaps."""
    scaler = StandardScaler().fit(data.train.x)
    filler = imputer.fit(scaler.transform(data.gaps))
    x, gaps = (filler.transform(scaler.transform(x)) for x in (data.train.x, data.gaps))
    for (name, rows, y), strength in product(_training(data, x, gaps), (0.01, 0.1, 1.0, 10.0)):
        last = LogisticRegression(C=strength, max_iter=2000).fit(rows, y)
        yield f"C {strength}{name}", make_pipeline(scaler, filler, last)


CLASSIFIERS: dict[str, Method] = {
    "PCClassifier": pc_classifier,
    "HistGradientBoostingClassifier": boosting,
    "IterativeImputer, LogisticRegression": lambda data: regression(_iterative(), data),
    "SimpleImputer, LogisticRegression": lambda data: regression(SimpleImputer(), data),
}


def _iterative() -> Estimator:
    return IterativeImputer(random_state=0)


def _scaled(imputers: Iterator[tuple[str, Estimator]], data: Split) -> Fitted:
    """Imputers of standardised columns, since distances depend on units."""
    for name, imputer in imputers:
        yield name, make_pipeline(StandardScaler(), imputer).fit(data.train.x)


def _neighbours() -> Iterator[tuple[str, Estimator]]:
    for number, weights in product((3, 5, 10, 20), ("uniform", "distance")):
        yield f"{number}, {weights}", KNNImputer(n_neighbors=number, weights=weights)


IMPUTERS: dict[str, Method] = {
    "PCImputer": lambda data: _scaled(_circuits(PCImputer), data),
    "IterativeImputer": lambda data: _scaled(iter([("", _iterative())]), data),
    "KNNImputer": lambda data: _scaled(_neighbours(), data),
    "SimpleImputer": lambda data: _scaled(iter([("", SimpleImputer())]), data),
}
