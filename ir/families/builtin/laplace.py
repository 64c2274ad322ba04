"""Laplace distributions."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import Columns, Family, Variables
from pccompiler.ir.families.supports import Parameter, positive, real


class Laplace(Family):
    """A real variable; the parameters are location and scale."""

    keyword = "laplace"
    domains = ("real",)
    parameters = (Parameter("location", real, scale="scale"), Parameter("scale", positive))
    everywhere = True
    work = (4, 1, 5)

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """The Laplace log-density."""
        location, scale = parameters
        return -np.abs(x - location) / scale - np.log(2.0 * scale)
