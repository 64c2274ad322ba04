"""Tails of distributions: differences of logarithms, incomplete gamma and beta functions.

The series and continued fractions use arithmetic only, so backends run the same ones on tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count
from typing import Any, TypeAlias

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.ir.arrays import Float

Numbers: TypeAlias = Any  # a NumPy array or a tensor: all that is needed is arithmetic
_EPSILON = 1e-15
"""A few roundings: quotients that should be 1 may stay this far from it."""
_EVERY = 8
_MOST_TERMS = 200_000
_FAR = -30.0
"""Below this many deviations the normal tail is taken from its asymptotic series."""


def log1m_exp(logs: Float) -> Float:
    """``log(1 - exp(logs))`` of logarithms up to 0; ``-inf`` at 0."""
    with np.errstate(divide="ignore"):
        near = np.log(-np.expm1(np.minimum(logs, 0.0)))
        return np.where(logs > -math.log(2.0), near, np.log1p(-np.exp(np.minimum(logs, 0.0))))


def log_difference(more: Float, less: Float) -> Float:
    """``log(exp(more) - exp(less))``; ``-inf`` where that is not positive."""
    known = np.where(more > -np.inf, more, 0.0)
    gap = np.where(less < more, less - known, 0.0)
    return np.where(less < more, known + log1m_exp(gap), -np.inf)


def between(low: tuple[Float, Float], high: tuple[Float, Float]) -> Float:
    """The logarithm of the mass between two places, from the smaller tail, which keeps its digits.

    Args:
        low: Logarithms of the mass up to the lower place, and above it.
        high: The same at the upper place.
    """
    from_below = log_difference(high[0], low[0])
    return np.where(high[0] <= low[1], from_below, log_difference(low[1], high[1]))


def log_normal_tails(z: Float) -> tuple[Float, Float]:
    """Logarithms of the standard normal mass below and above each number."""
    tail = _log_normal_tail(-np.abs(z))
    rest = np.log1p(-np.exp(tail))
    return np.where(z < 0.0, tail, rest), np.where(z < 0.0, rest, tail)


def _log_normal_tail(z: Float) -> Float:
    """The logarithm of the mass below numbers that are not positive."""
    error = np.vectorize(math.erfc, otypes=[np.float64])
    near = np.log(0.5 * error(-np.maximum(z, _FAR) / math.sqrt(2.0)))
    far = np.minimum(z, _FAR)
    series = term = np.ones_like(far)
    for odd in (1, 3, 5, 7, 9, 11):
        term = -term * odd / far**2
        series = series + term
    beyond = -0.5 * far**2 - np.log(-far) - 0.5 * math.log(2.0 * math.pi) + np.log(series)
    return np.where(z < _FAR, np.where(z == -np.inf, -np.inf, beyond), near)


def gamma_series(a: Numbers, x: Numbers) -> Numbers:
    """The sum of ``x**n / ((a + 1) ... (a + n))``, where ``x < a + 1``.

    The mass of a gamma distribution below x is the sum times ``x**a exp(-x) / gamma(a + 1)``.

    Source:
        Press et al. (2007), "Numerical Recipes", section 6.2.
    """
    term = x / (a + 1.0)
    total = 1.0 + term
    for n in _terms():
        term = term * x / (a + n + 1.0)
        total = total + term
        if n % _EVERY == 0 and _settled(term, total):
            break
    return total


def gamma_fraction(a: Numbers, x: Numbers) -> Numbers:
    """The continued fraction of the upper incomplete gamma function, where ``x >= a + 1``.

    The mass of a gamma distribution above x is it times ``x**a exp(-x) / gamma(a)``.

    Source:
        Press et al. (2007), section 6.2, by Lentz's method; no denominator is 0 there.
    """
    b = x + 1.0 - a
    d = 1.0 / b
    c = b + 1.0 / 1e-300
    total = d
    for n in _terms():
        step = -n * (n - a)
        b = b + 2.0
        d = 1.0 / (step * d + b)
        c = b + step / c
        total = total * (c * d)
        if n % _EVERY == 0 and _settled(c * d - 1.0, 1.0):
            break
    return total


def beta_fraction(a: Numbers, b: Numbers, x: Numbers) -> Numbers:
    """The continued fraction of the incomplete beta function, where ``x < (a + 1) / (a + b + 2)``.

    The mass of a beta distribution below x is it times ``x**a (1 - x)**b / (a beta(a, b))``.

    Source:
        Press et al. (2007), section 6.4, by Lentz's method.
    """
    d = 1.0 / (1.0 - (a + b) * x / (a + 1.0))
    c = 1.0 + 0.0 * d
    total = d
    for n in _terms():
        for step in (
            n * (b - n) * x / ((a + 2.0 * n - 1.0) * (a + 2.0 * n)),
            -(a + n) * (a + b + n) * x / ((a + 2.0 * n) * (a + 2.0 * n + 1.0)),
        ):
            d = 1.0 / (1.0 + step * d)
            c = 1.0 + step / c
            total = total * (c * d)
        if n % _EVERY == 0 and _settled(c * d - 1.0, 1.0):
            break
    return total


def _terms() -> Iterator[int]:
    """Numbers of terms, from 1 on.

    Raises:
        CircuitError: If there are too many.
    """
    for n in count(1):
        if n > _MOST_TERMS:
            raise CircuitError.of(
                "PC909",
                f"the distribution function of a leaf does not settle within {_MOST_TERMS:,} terms",
                help="check its parameters: they are extremely large",
            )
        yield n


def _settled(change: Numbers, total: Numbers) -> bool:
    """Whether no change matters any more; NaN never settles, and does not keep others waiting."""
    return not bool((abs(change) > _EPSILON * abs(total)).any())


def log_gamma_tails(a: Float, x: Float, log_gamma: Float) -> tuple[Float, Float]:
    """Logarithms of the mass of gamma distributions of rate 1 below and above x.

    Args:
        a: Concentrations, above 0.
        x: Places, from 0 on.
        log_gamma: The logarithm of the gamma function of ``a``.
    """
    low = x < a + 1.0
    with np.errstate(divide="ignore"):
        scale = a * np.log(np.maximum(x, 1e-300)) - x - log_gamma
    below = scale - np.log(a) + np.log(gamma_series(a, np.where(low, x, 0.0)))
    above = scale + np.log(gamma_fraction(np.where(low, 1.0, a), np.where(low, 3.0, x)))
    below, above = np.where(low, below, log1m_exp(above)), np.where(low, log1m_exp(below), above)
    return np.where(x > 0.0, below, -np.inf), np.where(x > 0.0, above, 0.0)


def log_beta_tails(a: Float, b: Float, x: Float, log_beta: Float) -> tuple[Float, Float]:
    """Logarithms of the mass of beta distributions below and above x.

    Args:
        a: First parameters, above 0.
        b: Second parameters, above 0.
        x: Places between 0 and 1.
        log_beta: The logarithm of the beta function of ``a`` and ``b``.
    """
    low = x < (a + 1.0) / (a + b + 2.0)
    first, second = np.where(low, a, b), np.where(low, b, a)
    fraction = beta_fraction(first, second, np.where(low, x, 1.0 - x))
    with np.errstate(divide="ignore", invalid="ignore"):
        tail = a * np.log(x) + b * np.log1p(-x) - log_beta - np.log(first) + np.log(fraction)
    rest = log1m_exp(tail)
    return np.where(low, tail, rest), np.where(low, rest, tail)
