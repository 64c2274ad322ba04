"""Geometric distributions."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import Bool, Columns, Family, Variables
from pccompiler.ir.families.counting import times_log
from pccompiler.ir.families.supports import Parameter, unit_interval
from pccompiler.ir.families.tails import log1m_exp
from pccompiler.ir.variables import Variable


class Geometric(Family):
    """Failures before the first success; the parameter is the probability of success."""

    keyword = "geometric"
    domains = ("count",)
    parameters = (Parameter("p", unit_interval, words="probability", logs=True),)
    everywhere = True
    in_float64 = True
    work = (2, 0, 3)

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """Failures, then a success."""
        (p,) = parameters
        return times_log(x, 1.0 - p) + np.log(p)

    def log_tails(self, x: Float, parameters: Columns, variables: Variables) -> tuple[Float, Float]:
        """The count exceeds x if x + 1 trials fail."""
        (p,) = parameters
        above = times_log(x + 1.0, 1.0 - p)
        return log1m_exp(above), above

    def positive(self, table: Float, variable: Variable) -> Bool:
        """Nowhere if no trial succeeds; at zero only if all do."""
        return np.concatenate([table > 0.0, (table > 0.0) & (table < 1.0)], axis=1)
