"""Laplace distributions."""

from __future__ import annotations

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.families.base import Columns, Family, Variables
from pccompiler.ir.families.supports import Parameter, positive, real
from pccompiler.ir.families.tails import log1m_exp


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

    def log_tails(self, x: Float, parameters: Columns, variables: Variables) -> tuple[Float, Float]:
        """Half an exponential tail on the value's own side."""
        location, scale = parameters
        tail = -np.abs(x - location) / scale - np.log(2.0)
        low, rest = x < location, log1m_exp(tail)
        return np.where(low, tail, rest), np.where(low, rest, tail)
