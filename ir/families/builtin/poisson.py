"""Poisson distributions."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import Bool, Columns, Family, Variables
from pccompiler.ir.families.counting import log_factorial, times_log
from pccompiler.ir.families.supports import Parameter, nonnegative
from pccompiler.ir.families.tails import log_gamma_tails
from pccompiler.ir.variables import Variable


class Poisson(Family):
    """A count; the parameter is its mean. At a rate of 0 the count is always 0."""

    keyword = "poisson"
    domains = ("count",)
    parameters = (Parameter("rate", nonnegative, logs=True),)
    everywhere = True
    in_float64 = True
    work = (3, 1, 3)

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """The Poisson log-probability."""
        (rate,) = parameters
        return times_log(x, rate) - rate - log_factorial(x)

    def log_tails(self, x: Float, parameters: Columns, variables: Variables) -> tuple[Float, Float]:
        """The count exceeds x if x + 1 events of a Poisson process come before time 1."""
        (rate,) = parameters
        above, below = log_gamma_tails(x + 1.0, rate, log_factorial(x))
        return below, above

    def positive(self, table: Float, variable: Variable) -> Bool:
        """Zero always; positive counts if the rate is positive."""
        return np.concatenate([np.ones_like(table, np.bool_), table > 0.0], axis=1)
