# %% [markdown]
"""# A classifier for rows with missing values

A circuit integrates missing values out, so a classifier that was trained on complete rows answers
any part of a row. Here values are deleted from the test rows of scikit-learn's wines, and gradient
boosting and logistic regression after an imputer get the same rows. Validation rows choose the
settings of all. The circuit is ahead where much is missing; docs/benchmarks.md has more data sets,
and says where the others are.
"""

# %%
from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_wine
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer as enable_iterative_imputer
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pccompiler.sklearn import PCClassifier

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)
RATES, SEEDS = (0.0, 0.2, 0.4, 0.6, 0.8), range(5)
warnings.simplefilter("ignore", ConvergenceWarning)  # the imputer stops after ten rounds
x, y = map(np.asarray, load_wine(return_X_y=True))

# %% [markdown]
# The rivals learn what a gap is from a second copy of the training rows, with values deleted. The
# circuit needs none.

# %%
Fitted = list[Any]  # estimators of scikit-learn, which has no types
Rows = tuple[np.ndarray, np.ndarray]  # features and classes


def deleted(rows: np.ndarray, rate: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows without each value with probability ``rate``."""
    return np.where(rng.random(rows.shape) < rate, np.nan, rows)


def circuits(rows: Rows, with_gaps: Rows) -> Fitted:
    """One circuit for each class."""
    return [PCClassifier(units=units, random_state=0).fit(*rows) for units in (2, 4, 8)]


def boosting(rows: Rows, with_gaps: Rows) -> Fitted:
    """Trees that send gaps down a branch."""
    kinds = [HistGradientBoostingClassifier(max_leaf_nodes=7, random_state=0) for _ in range(2)]
    return [kind.fit(*data) for kind, data in zip(kinds, (rows, with_gaps), strict=True)]


def regression(rows: Rows, with_gaps: Rows) -> Fitted:
    """Gaps are filled by linear regressions on all other columns."""
    filler = make_pipeline(StandardScaler(), IterativeImputer(random_state=0))
    strengths = [LogisticRegression(C=c, max_iter=2000) for c in (0.01, 0.1, 1.0)]
    return [make_pipeline(filler, strength).fit(*with_gaps) for strength in strengths]


METHODS = {
    "PCClassifier": circuits,
    "HistGradientBoosting": boosting,
    "IterativeImputer, LogisticRegression": regression,
}

# %%
accuracy: dict[str, list[list[float]]] = {name: [] for name in METHODS}
for seed in SEEDS:
    rng = np.random.default_rng(seed)
    test, valid, train = np.split(rng.permutation(len(x)), [45, 80])
    gaps = deleted(x[train], rng.choice(RATES, (len(train), 1)), rng)
    with_gaps = np.concatenate([x[train], gaps]), np.tile(y[train], 2)
    tests, valids = ([deleted(x[part], rate, rng) for rate in RATES] for part in (test, valid))
    for name, method in METHODS.items():
        fitted = method((x[train], y[train]), with_gaps)
        best = np.argmax([sum(model.score(rows, y[valid]) for rows in valids) for model in fitted])
        accuracy[name].append([fitted[best].score(rows, y[test]) for rows in tests])

# %%
figure = Figure(figsize=(6, 3.5), layout="constrained")
axes = figure.subplots()
for name, values in accuracy.items():
    mean, error = np.mean(values, axis=0), np.std(values, axis=0, ddof=1) / len(SEEDS) ** 0.5
    print(f"{name:<37}", *(f"{rate:.0%}: {m:.3f}" for rate, m in zip(RATES, mean, strict=True)))
    axes.errorbar(RATES, mean, error, marker="o", capsize=3, label=name)
axes.set(xlabel="part of the values that is missing", ylabel="accuracy on test rows")
axes.legend()
figure.savefig(OUT / "classifier_with_missing_values.png", dpi=80)
