"""Functions that densities of counts share: factorials, and 0 log 0."""

from __future__ import annotations

import math

import numpy as np

from pccompiler.ir.arrays import Float

log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])
"""The logarithm of the gamma function of positive numbers."""


def log_factorial(values: Float) -> Float:
    """The logarithm of ``values!``."""
    return np.asarray(log_gamma(values + 1.0))


def times_log(times: Float, value: Float) -> Float:
    """``times * log(value)``, with 0 log 0 = 0."""
    return np.where(times == 0.0, 0.0, times * np.log(value))
