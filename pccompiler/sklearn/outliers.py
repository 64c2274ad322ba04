"""Outliers: rows of low density."""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import OutlierMixin

from pccompiler.errors import OptionError
from pccompiler.ir.arrays import Float, Int
from pccompiler.options import as_float, shown
from pccompiler.sklearn.base import Auto, RandomState, Structure, Table
from pccompiler.sklearn.density import PCDensity


class PCOutlierDetector(OutlierMixin, PCDensity):
    """Calls a row an outlier if its density is lower than that of almost all training rows.

    It is a `PCDensity` with a threshold. Compare rows with the same gaps: the density of a row
    with fewer known values is often higher.

    Args:
        contamination: The part of the training rows that are outliers; above 0, at most 0.5.
        structure: As in `PCDensity`, like all further options.

    Attributes:
        offset_: The threshold, in nats: `decision_function` is `score_samples` less this.
    """

    def __init__(
        self,
        *,
        contamination: float = 0.1,
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
        self.contamination = contamination

    def fit(self, X: Table, y: object = None) -> Self:
        """Learn a circuit from rows ``X``, and the threshold."""
        part = as_float(self.contamination)
        if part is None or not 0.0 < part <= 0.5:
            raise OptionError.of(
                "PC302",
                f"contamination is {shown(self.contamination)}",
                help="use a number above 0 and at most 0.5",
            )
        super().fit(X)
        self.offset_ = float(np.quantile(self.score_samples(X), part))
        return self

    def decision_function(self, X: Table) -> Float:
        """How far the log-density of each row is above the threshold; negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Table) -> Int:
        """-1 for outliers, 1 for others, shape ``(rows,)``."""
        return np.where(self.decision_function(X) < 0.0, -1, 1)
