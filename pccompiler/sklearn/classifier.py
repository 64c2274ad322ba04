"""Classes of rows with missing values."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Float
from pccompiler.options import shown
from pccompiler.sklearn.base import (
    Auto,
    CircuitEstimator,
    RandomState,
    Structure,
    Table,
    labelled_table,
    log_density,
    random_of,
)
from pccompiler.torch_backend import CompiledCircuit

Labels = NDArray[Any]  # of any type
_TOLERANCE = 1e-6
"""How far the sum of given priors may be from 1."""


class PCClassifier(ClassifierMixin, CircuitEstimator):
    """The density of each class by a circuit of its own, and Bayes' rule.

    Missing values are integrated out, in training and in prediction. One circuit with the class as
    a variable would have to be told which of its parts depend on the class; a circuit for each
    class is trained on the rows of its class alone, stops when that class is learned, and may have
    its own structure.

    Args:
        priors: The probability of each class, in the order of ``classes_``; by default its part of
            the training rows.
        structure: As in `PCDensity`, like all further options.

    Attributes:
        classes_: The classes, ascending.
        class_prior_: The probability of each.
        models_: The trained circuit of each.
        columns_: How each column is coded.
        n_iter_: Passes over the data, the most for any class.
    """

    def __init__(
        self,
        *,
        priors: ArrayLike | None = None,
        structure: Structure = "hclt",
        units: int | None = None,
        categorical_features: Auto | ArrayLike = "auto",
        pseudocount: float = 1.0,
        max_iter: int = 100,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        random_state: RandomState = None,
        device: str | torch.device | None = None,
        verbose: bool | int = False,
    ) -> None:
        super().__init__(
            structure=structure,
            units=units,
            categorical_features=categorical_features,
            pseudocount=pseudocount,
            max_iter=max_iter,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            random_state=random_state,
            device=device,
            verbose=verbose,
        )
        self.priors = priors

    def fit(self, X: Table, y: ArrayLike) -> Self:
        """Learn a circuit for each class.

        Args:
            X: Shape ``(rows, features)``, NaN where missing.
            y: The class of each row, shape ``(rows,)``.

        Raises:
            ValueError: If they are not such data, or an option is invalid.
        """
        x, labels = labelled_table(self, X, y)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self.class_prior_ = _priors(self.priors, np.bincount(codes) / len(codes))
        self.columns_, random = self._find_columns(x), random_of(self.random_state)
        coded = self.columns_.encode(x)
        rows = [coded[codes == number] for number in range(len(self.classes_))]
        trained = [self._train(self.columns_, mine, random) for mine in rows]
        self.models_: list[CompiledCircuit] = [model for model, _ in trained]
        self.n_iter_ = max(passes for _, passes in trained)
        return self

    def predict_log_proba(self, X: Table) -> Float:
        """The log-probability of each class given the known values, ``(rows, classes)``, in nats.

        A row that is impossible in every class has the prior.
        """
        check_is_fitted(self)
        codes = self.columns_.encode(self._checked(X))
        logs = np.stack([log_density(model, codes) for model in self.models_], axis=1)
        with np.errstate(divide="ignore"):  # a prior may be 0
            priors = np.log(self.class_prior_)
        joint = logs + priors
        joint[np.isneginf(joint).all(axis=1)] = priors
        return np.asarray(joint - np.logaddexp.reduce(joint, axis=1)[:, None])

    def predict_proba(self, X: Table) -> Float:
        """The probability of each class given the known values, shape ``(rows, classes)``."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Table) -> Labels:
        """The most probable class of each row, shape ``(rows,)``."""
        check_is_fitted(self)
        return np.asarray(self.classes_[self.predict_log_proba(X).argmax(axis=1)])


def _priors(given: ArrayLike | None, frequencies: Float) -> Float:
    if given is None:
        return frequencies
    found = np.asarray(given, np.float64)
    fits = found.shape == frequencies.shape and bool((found >= 0.0).all())
    if not fits or not abs(float(found.sum()) - 1.0) <= _TOLERANCE:
        raise OptionError.of(
            "PC823",
            f"priors is {shown(given)}, for {len(frequencies)} classes",
            help="give one probability for each class, with sum 1",
        )
    return found
