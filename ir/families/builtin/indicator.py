"""Indicators: one unit per state, without parameters."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import DISCRETE, Columns, Family, Variables
from pccompiler.ir.variables import Variable


class Indicator(Family):
    """Unit j is 1 where the variable has state j."""

    keyword = "indicator"
    domains = DISCRETE
    tabular = True

    def misfit(self, variable: Variable) -> str | None:
        """Discrete variables; one unit per state."""
        fault = super().misfit(variable)
        return fault and f"{fault.replace(self.keyword, 'indicators', 1)}, and one unit per state"

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """0 at the unit's state, ``-inf`` elsewhere."""
        return np.where(x == np.arange(variables[0].cardinality)[:, None], 0.0, -np.inf)
