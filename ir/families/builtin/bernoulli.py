"""Bernoulli distributions."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import DISCRETE, Columns, Family, Variables
from pccompiler.ir.families.supports import Parameter, unit_interval
from pccompiler.ir.variables import Variable


class Bernoulli(Family):
    """Two states; the parameter is the probability of state 1."""

    keyword = "bernoulli"
    domains = DISCRETE
    parameters = (Parameter("p", unit_interval),)
    tabular = True

    def misfit(self, variable: Variable) -> str | None:
        """Any domain with two states."""
        return (
            None if variable.cardinality == 2 else "give bernoulli inputs a variable with 2 states"
        )

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """The logarithm of p at state 1, of 1 - p at state 0."""
        (p,) = parameters
        return np.log(np.where(x == 1, p, 1.0 - p))
