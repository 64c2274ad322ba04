"""Laplace distributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import Family
from pccompiler.ir.families.supports import Parameter, positive, real
from pccompiler.ir.variables import Variable


class Laplace(Family):
    """A real variable; the parameters are location and scale."""

    keyword = "laplace"
    domains = ("real",)
    parameters = (Parameter("location", real, scale="scale"), Parameter("scale", positive))
    everywhere = True
    work = (4, 1, 5)

    def log_value(
        self, x: Float, parameters: Sequence[Float], variables: Sequence[Variable]
    ) -> Float:
        """The Laplace log-density."""
        location, scale = parameters
        return -np.abs(x - location) / scale - np.log(2.0 * scale)
