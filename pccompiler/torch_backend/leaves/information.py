"""Entropies of leaves, and what two leaves over one variable say of each other, in nats."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pccompiler.errors import CircuitError
from pccompiler.ir import Family
from pccompiler.torch_backend.leaves.moments import Leaves, edges_of
from pccompiler.torch_backend.values import ratio, safe_log, surprise

_LOG_2PI = math.log(2.0 * math.pi)
_Inner = Callable[[Leaves, Leaves], Tensor]


def leaf_entropy(leaves: Leaves) -> Tensor:
    """Entropy of each unit, shape (units,); differential for real families.

    Closed forms; of binomial leaves the sum over all states, of Poisson leaves the sum over the
    points of `Leaves.points`, whose remainder is below 1e-17.
    """
    if leaves.table is not None:
        return surprise(leaves.table).sum(1)
    if leaves.family == Family.GAUSSIAN:
        return leaves.parameters[:, 1].log() + 0.5 * (_LOG_2PI + 1.0)
    if leaves.family == Family.LAPLACE:
        return (2.0 * leaves.parameters[:, 1]).log() + 1.0
    if leaves.family == Family.HISTOGRAM:
        widths = edges_of(leaves).diff(dim=1)
        return (surprise(leaves.parameters) + leaves.parameters * widths.log()).sum(1)
    return -_mean_log_poisson(leaves, leaves)


def log_inner(left: Leaves, right: Leaves) -> Tensor:
    """Log of the sum (integral) of the product of unit i of both, shape (units,).

    Raises:
        CircuitError: If the two families have no closed form.
    """
    if left.table is not None and right.table is not None:
        one, two = _same_states(left.table, right.table)
        return safe_log((one * two).sum(1))
    if left.family != right.family:
        raise CircuitError.of(
            "PC425",
            f"the integral of a {left.family.keyword} times a {right.family.keyword} leaf has no "
            "closed form here",
            help="use one family for the variable in both circuits",
        )
    return _INNER[left.family](left, right)


def log_share_and_mean(left: Leaves, right: Leaves) -> tuple[Tensor, Tensor]:
    """Of unit i of both: the mass of ``p`` where ``q > 0``, and the mean of ``log q`` there.

    Args:
        left: ``p``.
        right: ``q``.

    Returns:
        The mass's logarithm and ``E_p[log q | q > 0]``, each of shape (units,).
    """
    if left.table is not None and right.table is not None:
        one, two = _same_states(left.table, right.table)
        support = two > 0.0
        mass = one * support
        logs = two.masked_fill(~support, 1.0).log()
        return safe_log(mass.sum(1)), ratio((mass * logs).sum(1), mass.sum(1))
    if right.family == Family.HISTOGRAM:
        mass = left.parameters if left.family == Family.HISTOGRAM else _bins(left, right)
        mass = mass * (right.parameters > 0.0)
        widths = edges_of(right).diff(dim=1)
        logs = right.parameters.masked_fill(right.parameters <= 0.0, 1.0).log() - widths.log()
        return safe_log(mass.sum(1)), ratio((mass * logs).sum(1), mass.sum(1))
    if right.family == Family.POISSON:
        mean = _mean_log_poisson(left, right)
        return _outside_of_zero(left, right, mean)
    location, scale = right.parameters.unbind(1)
    if right.family == Family.GAUSSIAN:
        points, masses = left.points()
        square = (masses * ((points - location[:, None]) / scale[:, None]).square()).sum(1)
        mean = -0.5 * (square + _LOG_2PI) - scale.log()
    else:
        mean = -_distance(left, location) / scale - (2.0 * scale).log()
    return torch.zeros_like(mean), mean


def _same_states(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Tables as wide as the narrower one: columns beyond a variable's states are 0."""
    states = min(left.shape[1], right.shape[1])
    return left[:, :states], right[:, :states]


def _mean_log_poisson(left: Leaves, right: Leaves) -> Tensor:
    """``E_p[log q]`` of Poisson leaves."""
    counts, masses = left.points()
    bounded = right.parameters[:, :1].clamp_min(-1e30)
    logs = counts * bounded - bounded.exp() - torch.lgamma(counts + 1.0)
    return (masses * logs).sum(1)


def _outside_of_zero(left: Leaves, right: Leaves, mean: Tensor) -> tuple[Tensor, Tensor]:
    """A rate of 0 has no other state than 0."""
    zero = right.parameters[:, 0] == -torch.inf
    mass = torch.where(zero, -left.parameters[:, 0].exp(), 0.0)
    return mass, mean.masked_fill(zero, 0.0)


def _bins(left: Leaves, right: Leaves) -> Tensor:
    """The mass of each bin of ``right`` under normal or Laplace leaves."""
    location, scale = left.parameters.split(1, dim=1)
    scaled = (edges_of(right) - location) / scale
    if left.family == Family.GAUSSIAN:
        below, above = torch.special.ndtr(scaled), torch.special.ndtr(-scaled)
    else:
        tail = 0.5 * (-scaled.abs()).exp()
        low = scaled < 0.0
        below, above = torch.where(low, tail, 1.0 - tail), torch.where(low, 1.0 - tail, tail)
    upper = scaled[:, :-1] > 0.0  # differences of the smaller tail keep their digits
    return torch.where(upper, -above.diff(dim=1), below.diff(dim=1))


def _distance(left: Leaves, location: Tensor) -> Tensor:
    """``E_p|x - location|`` in closed form."""
    if left.family == Family.HISTOGRAM:
        edges = edges_of(left)
        away = edges - location[:, None]
        areas = 0.5 * (away * away.abs()).diff(dim=1) / edges.diff(dim=1)
        return (left.parameters * areas).sum(1)
    mean, scale = left.parameters.unbind(1)
    away = (mean - location) / scale
    if left.family == Family.LAPLACE:
        return scale * (away.abs() + (-away.abs()).exp())
    density = (-0.5 * (away.square() + _LOG_2PI)).exp()
    inner: Tensor = torch.special.erf(away / math.sqrt(2.0))
    return scale * (2.0 * density + away * inner)


def _inner_gaussian(left: Leaves, right: Leaves) -> Tensor:
    variance = left.parameters[:, 1].square() + right.parameters[:, 1].square()
    away = left.parameters[:, 0] - right.parameters[:, 0]
    return -0.5 * (away.square() / variance + variance.log() + _LOG_2PI)


def _inner_laplace(left: Leaves, right: Leaves) -> Tensor:
    """With scales ``a <= b``: ``(b exp(-d/b) - a exp(-d/a)) / (2 (b**2 - a**2))``, stably."""
    away = (left.parameters[:, 0] - right.parameters[:, 0]).abs()
    small = torch.minimum(left.parameters[:, 1], right.parameters[:, 1])
    large = torch.maximum(left.parameters[:, 1], right.parameters[:, 1])
    gap = (large - small) / large
    log_ratio = _over(torch.log1p(-gap.clamp_max(0.5)), -gap, 1.0 + gap / 2.0 + gap.square() / 3.0)
    log_ratio = torch.where(gap > 0.5, (large / small).log() / gap.clamp_min(0.5), log_ratio)
    slope = log_ratio + away / small
    spread = slope * gap
    grown = _over(-torch.expm1(-spread), spread, 1.0 - spread / 2.0 + spread.square() / 6.0)
    return -away / large + (slope * grown / (2.0 * (small + large))).log()


def _over(part: Tensor, whole: Tensor, near_zero: Tensor) -> Tensor:
    """A quotient, by its series near 0."""
    small = whole.abs() < 1e-5
    return torch.where(small, near_zero, part / whole.masked_fill(small, 1.0))


def _inner_histogram(left: Leaves, right: Leaves) -> Tensor:
    widths = edges_of(left).diff(dim=1)
    return safe_log((left.parameters * right.parameters / widths).sum(1))


def _inner_poisson(left: Leaves, right: Leaves) -> Tensor:
    """``exp(-a - b) I0(2 sqrt(a b))``."""
    one, other = left.parameters[:, 0], right.parameters[:, 0]
    middle = (0.5 * (one + other)).exp()
    apart = (0.5 * one).exp() - (0.5 * other).exp()
    scaled: Tensor = torch.special.i0e(2.0 * middle)
    return scaled.log() - apart.square()


_INNER: dict[Family, _Inner] = {
    Family.GAUSSIAN: _inner_gaussian,
    Family.LAPLACE: _inner_laplace,
    Family.HISTOGRAM: _inner_histogram,
    Family.POISSON: _inner_poisson,
}
