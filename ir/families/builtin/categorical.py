"""Categorical distributions."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import DISCRETE, Columns, Family, Variables
from pccompiler.ir.families.supports import Parameter, simplex


class Categorical(Family):
    """Finitely many states; the parameters are their probabilities."""

    keyword = "categorical"
    domains = DISCRETE
    parameters = (Parameter("probabilities", simplex, lambda v: v.cardinality),)
    tabular = True

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """The log-probability of the state."""
        return np.log(np.take_along_axis(parameters[0], x.astype(np.int64), axis=2))
