"""Distribution functions that are accurate in both tails: their differences, and draws from them.

`pccompiler.ir.families.tails` is the definition, in NumPy. Logarithms are formed in float64.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from pccompiler.ir.families.tails import beta_fraction, gamma_fraction, gamma_series
from pccompiler.torch_backend.values import safe_log

if TYPE_CHECKING:
    from pccompiler.torch_backend.leaves.base import Units

Tails: TypeAlias = tuple[Tensor, Tensor]
"""Logarithms of the mass up to some places, and of the mass above them."""
_FAR = 690.0
_HALVINGS = 64
"""They leave 1e-16 of the distance between the inverse hyperbolic sines of both ends."""


def between(scaled: Tensor, below: Tensor, above: Tensor) -> Tensor:
    """Mass between neighbouring edges, from the mass below and above each, shape (rows, edges).

    Args:
        scaled: Edges relative to the middle of a symmetric density.
        below: Mass below each edge.
        above: Mass above each edge.
    """
    upper = scaled[:, :-1] > 0.0  # differences of the smaller tail keep their digits
    return torch.where(upper, -above.diff(dim=1), below.diff(dim=1))


def log1m_exp(logs: Tensor) -> Tensor:
    """``log(1 - exp(logs))`` of logarithms up to 0; ``-inf``, with gradient 0, at 0."""
    near = logs > -math.log(2.0)
    close = safe_log(-torch.expm1(logs.masked_fill(~near, -0.5)))
    return torch.where(near, close, torch.log1p(-logs.masked_fill(near, -1.0).exp()))


def log_difference(more: Tensor, less: Tensor) -> Tensor:
    """``log(exp(more) - exp(less))``; ``-inf``, with gradient 0, where that is not positive."""
    some = less < more
    known = more.masked_fill(~some, 0.0)
    gap = less.masked_fill(~some, -1.0) - known
    return (known + log1m_exp(gap)).masked_fill(~some, -torch.inf)


def log_interval(units: Units, low: Tensor, high: Tensor) -> Tensor:
    """Log-probability of an interval under each unit, shape (rows, units, batch), in float64.

    Of counts both ends belong to it.

    Args:
        units: Units of a family of counts or real values.
        low: The lower end, ``-inf`` for none, shape (rows, 1, batch).
        high: The upper end, ``inf`` for none, likewise.

    Raises:
        CircuitError: If the family has no distribution function.
    """
    wide = units.double()
    return _mass(_tails(wide, _excluded(units, low)), _tails(wide, high))


def _excluded(units: Units, low: Tensor) -> Tensor:
    """The place above which an interval begins: of counts, before its lower end."""
    return low.ceil() - 1.0 if units.leaf.counts else low


def _mass(low: Tails, high: Tails) -> Tensor:
    """The mass between two places, from the smaller tail, which keeps its digits."""
    upper = low[1] < high[0]
    return torch.where(upper, log_difference(low[1], high[1]), log_difference(high[0], low[0]))


def _tails(units: Units, x: Tensor) -> Tails:
    """`TorchLeaf.log_tails`, also at infinite places, and at counts below 0."""
    outside = ~x.isfinite()
    if units.leaf.counts:
        x = x.floor()
        outside = outside | (x < 0.0)
    inside = x.masked_fill(outside, 1.0)
    below, above = units.leaf.log_tails(inside, units)
    whole = torch.zeros_like(x)
    none = torch.full_like(x, -torch.inf)
    negative = x < 0.0  # the whole mass is on one side
    return (
        torch.where(outside, torch.where(negative, none, whole), below),
        torch.where(outside, torch.where(negative, whole, none), above),
    )


def draw_within(
    units: Units, low: Tensor, high: Tensor, generator: torch.Generator | None
) -> Tensor:
    """A draw of each unit from an interval, shape (rows,), by halving the interval. Apart.

    Args:
        units: Units of a family of counts or real values, each its own row.
        low: The lower end, shape (rows,).
        high: The upper end, shape (rows,).
        generator: Random numbers.
    """
    ends = low.double().view(-1, 1, 1), high.double().view(-1, 1, 1)
    part = torch.rand(ends[0].shape, generator=generator, dtype=low.dtype, device=low.device)
    wide = units.double()
    start = _tails(wide, _excluded(units, ends[0]))
    wanted = _mass(start, _tails(wide, ends[1])) + torch.log1p(-part.double())
    left, right = (end.asinh().clamp(-_FAR, _FAR) for end in ends)
    for _ in range(_HALVINGS):
        middle = 0.5 * (left + right)
        enough = _mass(start, _tails(wide, middle.sinh())) >= wanted
        left, right = torch.where(enough, left, middle), torch.where(enough, middle, right)
    found = right.sinh().clamp(*ends).view(-1)
    return (found.round() if units.leaf.counts else found).to(low.dtype)


def log_gamma_tails(a: Tensor, log_x: Tensor) -> Tails:
    """Tails of gamma distributions of rate 1 and concentration ``a``, at ``exp(log_x)``."""
    x = log_x.exp()
    low = x < a + 1.0
    scale = a * log_x - x - torch.lgamma(a)
    below = scale - a.log() + gamma_series(a, torch.where(low, x, 0.0)).log()
    fraction = gamma_fraction(torch.where(low, 1.0, a), torch.where(low, 3.0, x))
    above = scale + fraction.log()
    return (
        torch.where(low, below, log1m_exp(torch.where(low, -1.0, above))),
        torch.where(low, log1m_exp(torch.where(low, below, -1.0)), above),
    )


def log_beta_tails(a: Tensor, b: Tensor, log_x: Tensor, log_rest: Tensor) -> Tails:
    """Tails of beta distributions of parameters ``a`` and ``b`` at x.

    Args:
        a: First parameters, above 0.
        b: Second parameters, above 0.
        log_x: The logarithm of x, which lies between 0 and 1.
        log_rest: The logarithm of ``1 - x``.
    """
    x = log_x.exp()
    low = x < (a + 1.0) / (a + b + 2.0)
    first, second = torch.where(low, a, b), torch.where(low, b, a)
    fraction = beta_fraction(first, second, torch.where(low, x, log_rest.exp()))
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    tail = a * log_x + b * log_rest - log_beta - first.log() + fraction.log()
    rest = log1m_exp(tail)
    return torch.where(low, tail, rest), torch.where(low, rest, tail)
