"""Classifiers and imputers on rows with deleted values, ours beside those of scikit-learn.

    python -m benchmarks.estimators.missing_values [--data wine] [--seeds 5]

Values are deleted at random, each with the same probability, the rate. In the first setting the
training rows are complete, and one classifier serves test rows of all rates. In the second one
half of the values are missing, from training rows and test rows alike. Validation rows, from which
values are deleted likewise, choose the settings of each method for each data set and seed. The
result is the accuracy on test rows; of imputers, the root mean square error of deleted values in
standard deviations of their columns.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.common import Report
from benchmarks.estimators.data import LOAD, Rows, Split, split
from benchmarks.estimators.methods import CLASSIFIERS, IMPUTERS, Estimator, Method

RATES, HALF = (0.0, 0.25, 0.5, 0.75), (0.5,)


class Measure(NamedTuple):
    """A number that says how good an estimator is.

    Attributes:
        name: In the result file.
        of: From a fitted estimator, training rows and other rows.
        sign: 1 if larger is better, otherwise -1.
    """

    name: str
    of: Callable[[Estimator, Rows, Rows], float]
    sign: int


def accuracy(estimator: Estimator, train: Rows, rows: Rows) -> float:
    """The part of the rows whose class is found."""
    return float(np.mean(estimator.predict(rows.x) == rows.y))


def error(estimator: Estimator, train: Rows, rows: Rows) -> float:
    """The root mean square error of deleted values, in deviations of their columns."""
    deviation = train.full.std(axis=0)
    filled = estimator[0].inverse_transform(estimator.transform(rows.x))
    wrong = np.isnan(rows.x) & (deviation > 0.0)
    distance = (filled - rows.full) / np.where(deviation > 0.0, deviation, 1.0)
    return float(np.sqrt(np.mean(distance[wrong] ** 2)))


ACCURACY, ERROR = Measure("accuracy", accuracy, 1), Measure("error", error, -1)


class Found(NamedTuple):
    """The chosen setting of a method, and its result for each rate."""

    chosen: str
    results: list[float]


def best(method: Method, data: Split, measure: Measure) -> Found:
    """The setting whose mean result on validation rows is best, on test rows."""

    def results(estimator: Estimator, parts: Sequence[Rows]) -> list[float]:
        return [measure.of(estimator, data.train, rows) for rows in parts]

    fitted = list(method(data))
    means = [measure.sign * np.mean(results(one, data.valid)) for _, one in fitted]
    name, estimator = fitted[int(np.argmax(means))]
    return Found(name, results(estimator, data.test))


def compare(
    report: Report,
    methods: Mapping[str, Method],
    measure: Measure,
    rates: Sequence[float],
    *,
    data: str,
    seeds: int,
    train: bool,
) -> None:
    """Add a line for each method and rate."""
    splits = [split(data, rates, seed, train=train) for seed in range(seeds)]
    for name, method in methods.items():
        found = [best(method, one, measure) for one in splits]
        for place, rate in enumerate(rates):
            values = [one.results[place] for one in found]
            report.add(
                measure=measure.name,
                data=data,
                missing="training and test" if train else "test",
                rate=rate,
                method=name,
                mean=float(np.mean(values)),
                standard_error=float(np.std(values, ddof=1) / np.sqrt(seeds)),
                values=values,
                chosen=[one.chosen for one in found],
            )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", nargs="+", choices=sorted(LOAD), default=sorted(LOAD))
    parser.add_argument("--seeds", type=int, default=5)
    chosen, report = parser.parse_args(), Report("missing_values")
    warnings.simplefilter("ignore", ConvergenceWarning)  # IterativeImputer makes ten rounds
    for data in chosen.data:
        about = {"data": data, "seeds": chosen.seeds}
        compare(report, CLASSIFIERS, ACCURACY, RATES, **about, train=False)
        compare(report, CLASSIFIERS, ACCURACY, HALF, **about, train=True)
        compare(report, IMPUTERS, ERROR, HALF, **about, train=True)


if __name__ == "__main__":
    main()
