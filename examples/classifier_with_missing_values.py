# %% [markdown]
"""# A classifier for rows with missing values

A circuit integrates missing values out, so a classifier that was trained on complete rows answers
any part of a row. Here values are deleted from the test rows of scikit-learn's wines, and gradient
boosting and logistic regression after an imputer get the same rows. The wines were chosen since
they are few, 178 rows, and their 13 measurements depend on one another; on its digits
logistic regression is better (docs/benchmarks.md). Validation rows choose the settings of all.
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
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pccompiler.sklearn import PCClassifier

OUT = Path("out/examples")
OUT.mkdir(parents=True, exist_ok=True)
RATES, SEEDS = (0.0, 0.2, 0.4, 0.6, 0.8), range(5)
warnings.simplefilter("ignore", ConvergenceWarning)  # the imputer stops after ten rounds
x, y = map(np.asarray, load_wine(return_X_y=True))

# %% [markdown]
# The rivals learn what a gap is from a second copy of the training rows, with values deleted; the
# circuit does not need one. Boosting may also do without it.

# %%
Fitted = list[Any]  # estimators of scikit-learn, which has no types


def deleted(rows: np.ndarray, rate: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(rng.random(rows.shape) < rate, np.nan, rows)


def circuits(rows: np.ndarray, gaps: np.ndarray, of: np.ndarray) -> Fitted:
    return [PCClassifier(units=units, random_state=0).fit(rows, of) for units in (2, 4, 8)]


def boosting(rows: np.ndarray, gaps: np.ndarray, of: np.ndarray) -> Fitted:
    both, twice = np.concatenate([rows, gaps]), np.concatenate([of, of])
    kinds = [HistGradientBoostingClassifier(max_leaf_nodes=n, random_state=0) for n in (7, 31)]
    return [kind.fit(both, twice) for kind in kinds] + [
        HistGradientBoostingClassifier(random_state=0).fit(rows, of)
    ]


def regression(rows: np.ndarray, gaps: np.ndarray, of: np.ndarray) -> Fitted:
    both, twice = np.concatenate([rows, gaps]), np.concatenate([of, of])
    filler = make_pipeline(StandardScaler(), IterativeImputer(random_state=0))
    strengths = [LogisticRegression(C=c, max_iter=2000) for c in (0.01, 0.1, 1.0, 10.0)]
    return [make_pipeline(filler, strength).fit(both, twice) for strength in strengths]


METHODS = {
    "PCClassifier": circuits,
    "HistGradientBoosting": boosting,
    "IterativeImputer, LogisticRegression": regression,
}

# %%
accuracy: dict[str, list[list[float]]] = {name: [] for name in METHODS}
for seed in SEEDS:
    rng = np.random.default_rng(seed)
    rest, last, of_rest, of_last = train_test_split(x, y, test_size=0.3, random_state=seed)
    train, valid, of_train, of_valid = train_test_split(rest, of_rest, random_state=seed)
    gaps = deleted(train, rng.choice(RATES, (len(train), 1)), rng)
    tests = [deleted(last, rate, rng) for rate in RATES]
    valids = [deleted(valid, rate, rng) for rate in RATES]
    for name, method in METHODS.items():
        fitted = method(train, gaps, of_train)
        chosen = np.argmax([sum(m.score(rows, of_valid) for rows in valids) for m in fitted])
        accuracy[name].append([fitted[chosen].score(rows, of_last) for rows in tests])

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
