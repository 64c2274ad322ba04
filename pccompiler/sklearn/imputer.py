"""Completion of missing values."""

from __future__ import annotations

from typing import Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from pccompiler.ir.arrays import Float
from pccompiler.options import one_of
from pccompiler.sklearn.base import (
    Auto,
    CircuitEstimator,
    RandomState,
    Structure,
    Table,
    log_density,
    random_of,
    seed_from,
    training_table,
)

Strategy = Literal["mean", "mpe", "draw"]


class PCImputer(OneToOneFeatureMixin, TransformerMixin, CircuitEstimator):
    """Fills in missing values from the known ones of the same row.

    Known values do not change. A category that training did not show stays, and counts as missing
    when others are filled in. A column without any value in training is filled with 0.

    Args:
        strategy: ``"mean"``: each value by itself, the mean of a real column and the most probable
            category, given the row's known values. ``"mpe"``: all missing values of a row at once,
            approximately their most probable completion (`pccompiler.CompiledCircuit.mpe`).
            ``"draw"``: drawn at random given the known values, so that spreads and correlations are
            kept.
        structure: As in `PCDensity`, like all further options.

    Attributes:
        model_: The trained circuit. Its variables are the codes of ``columns_``.
        columns_: How each column is coded.
        n_iter_: Passes over the data.
    """

    def __init__(
        self,
        *,
        strategy: Strategy = "mean",
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
        self.strategy = strategy

    def fit(self, X: Table, y: object = None) -> Self:
        """Learn a circuit from rows ``X``, shape ``(rows, features)``, NaN where missing."""
        one_of("strategy", self.strategy, get_args(Strategy))
        x = training_table(self, X)
        self.columns_ = self._find_columns(x)
        codes = self.columns_.encode(x)
        self.model_, self.n_iter_ = self._train(self.columns_, codes, random_of(self.random_state))
        return self

    def transform(self, X: Table) -> Float:
        """The rows with their gaps filled, shape ``(rows, features)``."""
        check_is_fitted(self)
        x = self._checked(X)
        gaps = np.isnan(x)
        places = np.flatnonzero(gaps.any(axis=1))
        result = x.copy()
        if len(places):
            filled = self.columns_.decode(self._completed(self.columns_.encode(x[places])))
            result[places] = np.where(gaps[places], filled, x[places])
        return result

    def _completed(self, codes: Float) -> Float:
        """Codes without gaps; where the known ones are impossible, as if nothing were known."""
        codes[np.isneginf(log_density(self.model_, codes))] = np.nan
        if self.strategy == "mpe":
            return self.model_.mpe(codes).rows.cpu().numpy()
        if self.strategy == "draw":
            seed = seed_from(self.random_state)
            return self.model_.sample_conditional(codes, seed=seed)[:, 0].cpu().numpy()
        found = self.model_.posterior_marginals(codes)
        discrete = np.array([v.discrete for v in self.model_.circuit.variables])
        states = found.states.argmax(dim=2).double()
        return np.where(discrete, states.cpu().numpy(), found.mean.cpu().numpy())
