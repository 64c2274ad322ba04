"""Gamma distributions."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import Bool, Columns, Family, Variables
from pccompiler.ir.families.classes import classes, representative
from pccompiler.ir.families.counting import log_gamma
from pccompiler.ir.families.supports import Parameter, positive
from pccompiler.ir.families.tails import log_gamma_tails
from pccompiler.ir.variables import Variable


class Gamma(Family):
    """A positive real variable; the parameters are concentration and rate.

    The density is 0 at 0 and below, whatever its limit there.
    """

    keyword = "gamma"
    domains = ("real",)
    parameters = (Parameter("concentration", positive), Parameter("rate", positive))
    in_float64 = True
    work = (6, 2, 6)

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """A power and an exponential."""
        concentration, rate = parameters
        known = np.where(x > 0.0, x, 1.0)
        logs = concentration * np.log(rate) + (concentration - 1.0) * np.log(known) - rate * known
        return np.where(x > 0.0, logs - log_gamma(concentration), -np.inf)

    def log_tails(self, x: Float, parameters: Columns, variables: Variables) -> tuple[Float, Float]:
        """The regularised incomplete gamma functions."""
        concentration, rate = parameters
        return log_gamma_tails(concentration, np.maximum(rate * x, 0.0), log_gamma(concentration))

    def positive(self, table: Float, variable: Variable) -> Bool:
        """Not in bins that end at 0 or below."""
        above = [representative(variable, number) > 0.0 for number in range(classes(variable))]
        return np.tile(np.array(above), (len(table), 1))
