"""Binomial distributions."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import DISCRETE, Columns, Family, Variables
from pccompiler.ir.families.counting import log_factorial, times_log
from pccompiler.ir.families.supports import Parameter, unit_interval
from pccompiler.ir.variables import Variable


class Binomial(Family):
    """States 0 ... trials; the parameter is the probability of success."""

    keyword = "binomial"
    domains = DISCRETE
    parameters = (Parameter("p", unit_interval, logs=True),)
    everywhere = True
    in_float64 = True
    work = (4, 1, 4)

    def misfit(self, variable: Variable) -> str | None:
        """The number of states determines the number of trials."""
        fault = super().misfit(variable)
        return fault and f"{fault}, with one state more than trials"

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """The binomial coefficient times the probability of each outcome."""
        (p,) = parameters
        trials = np.array([v.cardinality - 1.0 for v in variables]).reshape(-1, 1, 1)
        failures = trials - x
        ways = log_factorial(trials) - log_factorial(x) - log_factorial(failures)
        return ways + times_log(x, p) + times_log(failures, 1.0 - p)
