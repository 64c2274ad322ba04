"""Densities of tables."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted

from pccompiler.ir.arrays import Float
from pccompiler.options import whole
from pccompiler.sklearn.base import (
    CircuitEstimator,
    RandomState,
    Table,
    log_density,
    random_of,
    seed_from,
    training_table,
)


class PCDensity(DensityMixin, CircuitEstimator):
    """The joint density of all columns, with missing values integrated out.

    Real columns have densities, categorical ones probabilities; both count in the log-density of a
    row. A category that training did not show counts as missing, at the price of a probability of 1
    in n + 1 after n rows.

    Args:
        structure: The circuit: a name as on the command line, perhaps with options in braces, such
            as ``"hclt"``, ``"mixture"`` or ``"rat-spn{replicas=10}"``; or a function from variables
            to a circuit.
        units: Width of its sums: states of each latent variable, or components of the mixture. By
            default that of the structure.
        categorical_features: ``"auto"``, or a mask, indices or names of columns. By default a
            column is categorical if it is constant, or if all its values are whole numbers of which
            there are at most two, or at most 20 with 5 rows each on average. All others are real.
        pseudocount: Rows of prior belief in each unit, see `pccompiler.fit_em`.
        max_iter: The most passes of expectation maximisation over the data.
        validation_fraction: The part of the rows that decides when to stop; 0 for none. Without
            them, all passes are made.
        n_iter_no_change: Stop after this many passes without improvement on the validation rows.
        random_state: A seed, or a random state, of the structure, the first parameters and the
            choice of validation rows.
        device: Where to train and answer, such as ``"cuda"``; by default torch's own.
        verbose: Whether to show progress.

    Attributes:
        model_: The trained circuit. Its variables are the codes of ``columns_``.
        columns_: How each column is coded.
        n_iter_: Passes over the data.
        n_features_in_: Number of columns.
        feature_names_in_: Their names, if `fit` got a data frame.

    Example:
        >>> import numpy as np
        >>> from pccompiler.sklearn import PCDensity
        >>> x = np.random.default_rng(0).normal(size=(200, 3))
        >>> density = PCDensity(units=2, random_state=0).fit(x)
        >>> usual, strange = density.score_samples([[0.0, np.nan, 0.0], [9.0, 0.0, 0.0]])
        >>> bool(usual > strange + 10.0)
        True
    """

    def fit(self, X: Table, y: object = None) -> Self:
        """Learn a circuit from rows ``X``, shape ``(rows, features)``, NaN where missing.

        Raises:
            ValueError: If they are not such rows, or an option is invalid.
        """
        x = training_table(self, X)
        self.columns_ = self._find_columns(x)
        codes = self.columns_.encode(x)
        self.model_, self.n_iter_ = self._train(self.columns_, codes, random_of(self.random_state))
        return self

    def score_samples(self, X: Table) -> Float:
        """The log-density of the known values of each row, in nats, shape ``(rows,)``."""
        check_is_fitted(self)
        x = self._checked(X)
        logs = log_density(self.model_, self.columns_.encode(x))
        return logs + self.columns_.log_factor(x)

    def score(  # pyright: ignore[reportIncompatibleMethodOverride]  # the mixin's returns nothing
        self, X: Table, y: object = None
    ) -> float:
        """The mean log-density of rows, in nats: the larger, the better."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: RandomState = None) -> Float:
        """Independent rows, shape ``(n_samples, features)``."""
        check_is_fitted(self)
        number = whole("n_samples", n_samples)
        codes = self.model_.sample(number, seed=seed_from(random_state))
        return self.columns_.decode(np.asarray(codes.cpu()))
