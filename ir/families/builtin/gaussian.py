"""Normal distributions."""

from __future__ import annotations

import math

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import Columns, Family, Variables
from pccompiler.ir.families.supports import Parameter, positive, real
from pccompiler.ir.families.tails import log_normal_tails
from pccompiler.ir.variables import Variable

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


class Gaussian(Family):
    """A real variable; the parameters are mean and standard deviation."""

    keyword = "gaussian"
    domains = ("real",)
    parameters = (
        Parameter("mean", real, scale="deviation"),
        Parameter("deviation", positive, words="standard deviation"),
    )
    everywhere = True
    work = (5, 1, 6)

    def log_value(self, x: Float, parameters: Columns, variables: Variables) -> Float:
        """The normal log-density."""
        mean, deviation = parameters
        return -0.5 * ((x - mean) / deviation) ** 2 - np.log(deviation) - _LOG_SQRT_2PI

    def log_tails(self, x: Float, parameters: Columns, variables: Variables) -> tuple[Float, Float]:
        """The standard normal tails of the standardised value."""
        mean, deviation = parameters
        return log_normal_tails((x - mean) / deviation)

    def times(self, x: Float, y: Float, variable: Variable) -> tuple[Float, Float]:
        """The product of two normal densities is a normal density times a constant."""
        mean_x, mean_y = (m.ravel() for m in np.meshgrid(x[:, 0], y[:, 0], indexing="ij"))
        var_x, var_y = (v.ravel() for v in np.meshgrid(x[:, 1] ** 2, y[:, 1] ** 2, indexing="ij"))
        total = var_x + var_y
        variance = var_x * var_y / total
        mean = (mean_x * var_y + mean_y * var_x) / total
        constants = -0.5 * ((mean_x - mean_y) ** 2 / total + np.log(2.0 * np.pi * total))
        return np.stack([mean, np.sqrt(variance)], axis=1), constants
