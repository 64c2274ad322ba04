"""Information between two leaves over one variable, in nats.

Each unit is its own row (`Units.apart`). Families provide closed forms; without one, integer values
are summed over, and real ones are integrated over the panels of both densities.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.quadrature import (
    ORDERS,
    OUTER,
    Points,
    check_settled,
    panel_points,
)
from pccompiler.torch_backend.values import ratio, safe_log, surprise, top_of


def leaf_entropy(leaves: Units) -> Tensor:
    """Entropy of each unit, shape (units,); differential for real families."""
    if leaves.table is not None:
        return surprise(leaves.table[:, 0]).sum(1)
    return leaves.leaf.entropy(leaves)


def log_inner(left: Units, right: Units) -> Tensor:
    """Log of the sum (integral) of the product of row i of both, shape (rows,).

    Raises:
        CircuitError: If quadrature fails.
    """
    if left.table is not None and right.table is not None:
        one, two = _same_states(left.table, right.table)
        return safe_log((one * two).sum(1))
    closed = left.leaf.inner(left, right) if left.leaf is right.leaf else None
    if closed is not None:
        return closed
    if left.leaf.counts:
        counts = _counts(left, right)
        return _log_sum(left.log_density(counts) + right.log_density(counts))
    edges = _edges(left, right)
    fine, coarse = (
        _log_sum(torch.stack(_logs(left, right, edges, order)).sum(0)) for order in ORDERS
    )
    off = torch.expm1((coarse - fine).detach()).nan_to_num(0.0)
    check_settled(off, f"the integral of {left.leaf.keyword} times {right.leaf.keyword} leaves")
    return fine


def log_share_and_mean(left: Units, right: Units) -> tuple[Tensor, Tensor]:
    """For row i of both: the mass of ``p`` where ``q > 0``, and the mean of ``log q`` there.

    Args:
        left: ``p``.
        right: ``q``.

    Returns:
        The log of that mass and ``E_p[log q | q > 0]``, each of shape (rows,).

    Raises:
        CircuitError: If quadrature fails, or the mean is infinite.
    """
    if left.table is not None and right.table is not None:
        one, two = _same_states(left.table, right.table)
        return _over_support(one, safe_log(two), 0)
    closed = right.leaf.mean_log(left, right)
    if closed is not None:
        return closed
    if left.leaf.counts:
        points = left.points()
        return _relative(points.masses, right.log_density(points.points), points.outer)
    edges = _edges(left, right)
    what = f"the mean of the logarithm of {right.leaf.keyword} under {left.leaf.keyword} leaves"
    fine, coarse = (
        _relative((p + weights).exp(), q, OUTER)
        for p, q, weights in (_logs(left, right, edges, order) for order in ORDERS)
    )
    check_settled((coarse[0].exp() - fine[0].exp()).detach(), what)
    check_settled(((coarse[1] - fine[1]) / fine[1].abs().clamp_min(1.0)).detach(), what)
    return fine


def _same_states(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Tables cut to the width of the narrower one: columns beyond a variable's states are 0."""
    states = min(left.shape[2], right.shape[2])
    return left[:, 0, :states], right[:, 0, :states]


def _over_support(masses: Tensor, logs: Tensor, outer: int) -> tuple[Tensor, Tensor]:
    """The log of the mass where ``logs`` are finite, and their mean there."""
    support = logs > -torch.inf
    points = Points(logs, masses * support, outer)
    total = points.masses.sum(1)
    return safe_log(total), ratio(points.mean(logs.masked_fill(~support, 0.0)), total)


def _relative(masses: Tensor, logs: Tensor, outer: int) -> tuple[Tensor, Tensor]:
    """`_over_support` for masses that sum to 1 up to rounding and quadrature."""
    total = masses.sum(1)
    check_settled(total.detach() - 1.0, "the mass of a leaf")
    share, mean = _over_support(masses, logs, outer)
    return share - total.log(), mean


def _counts(left: Units, right: Units) -> Tensor:
    """All counts that matter for either of them, shape (rows, counts)."""
    ends = [side.points().points.detach() for side in (left, right)]
    first = torch.minimum(*(side.amin(1, keepdim=True) for side in ends))
    last = torch.maximum(*(side.amax(1, keepdim=True) for side in ends))
    number = int((last - first).max()) + 1 if len(first) else 1
    return first + torch.arange(number, dtype=first.dtype, device=first.device)


def _edges(left: Units, right: Units) -> Tensor:
    """Edges of the panels of both, ascending, in the coordinate of the left one."""
    own, others = left.leaf.panels(left), right.leaf.panels(right)
    there = right.leaf.chart(right)(others)
    here: Any = left.leaf.chart(left).inv(there)
    low, high = own[:, :1], own[:, -1:]
    here = torch.where(here.isnan(), low, here)
    return torch.cat([own, here.clamp(low, high)], dim=1).sort(dim=1).values


def _logs(left: Units, right: Units, edges: Tensor, order: int) -> tuple[Tensor, Tensor, Tensor]:
    """Log-densities of both at the points of the panels, and the log-weights of the points."""
    places, weights = panel_points(edges, order)
    x, p = left.leaf.on_chart(left, places)
    known = x.masked_fill(~x.isfinite(), right.leaf.somewhere)  # there p is 0
    return p, right.log_density(known), weights


def _log_sum(logs: Tensor) -> Tensor:
    """Log-sum-exp along a row; ``-inf``, with gradient 0, if all terms are."""
    top = top_of(logs, 1)
    return safe_log((logs - top).exp().sum(1)) + top.squeeze(1)
