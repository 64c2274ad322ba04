"""The leaf families: what each fits, how many parameters it has, and its density."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.kinds import Family
from pccompiler.ir.variables import Variable

Float = NDArray[np.float64]
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


class Leaf(NamedTuple):
    """One family.

    Attributes:
        fits: Whether an input of the family can be over a variable.
        columns: Parameters of a unit over a variable.
        domain: What it wants, as the way out of an error.
        log_density: Of every row and unit; see `log_density`.
    """

    fits: Callable[[Variable], bool]
    columns: Callable[[Variable], int]
    domain: str
    log_density: Callable[[Float, Float, Sequence[Variable]], Float]


def columns(family: Family, variable: Variable) -> int:
    """Parameters a unit of an input of ``family`` over ``variable``; 0 for indicators."""
    return LEAVES[family].columns(variable)


def fits(family: Family, variable: Variable) -> bool:
    """Whether an input of ``family`` can be over ``variable``."""
    return LEAVES[family].fits(variable)


def log_density(
    family: Family, table: Float, states: Float, variables: Sequence[Variable]
) -> Float:
    """Log-density of every unit, in nats, shape (rows, units, batch).

    Args:
        family: Not `Family.INDICATOR`, which has no parameters.
        table: Parameters, shape (rows, units, columns).
        states: Values of each row's variable, shape (rows, 1, batch); nothing missing.
        variables: The variable of each row.
    """
    with np.errstate(divide="ignore"):
        return LEAVES[family].log_density(table, states, variables)


def _no_density(table: Float, states: Float, variables: Sequence[Variable]) -> Float:
    raise AssertionError("indicators have no parameters")  # pragma: no cover


def _bernoulli(table: Float, states: Float, _variables: Sequence[Variable]) -> Float:
    return np.asarray(np.log(np.where(states == 1, table, 1.0 - table)))


def _categorical(table: Float, states: Float, _variables: Sequence[Variable]) -> Float:
    return np.asarray(np.log(np.take_along_axis(table, states.astype(np.int64), axis=2)))


def _gaussian(table: Float, states: Float, _variables: Sequence[Variable]) -> Float:
    mean, deviation = table[..., :1], table[..., 1:]
    return np.asarray(-0.5 * ((states - mean) / deviation) ** 2 - np.log(deviation) - _LOG_SQRT_2PI)


def _laplace(table: Float, states: Float, _variables: Sequence[Variable]) -> Float:
    location, scale = table[..., :1], table[..., 1:]
    return np.asarray(-np.abs(states - location) / scale - np.log(2.0 * scale))


def _poisson(table: Float, states: Float, _variables: Sequence[Variable]) -> Float:
    return np.asarray(_times_log(states, table) - table - _log_factorial(states))


def _binomial(table: Float, states: Float, variables: Sequence[Variable]) -> Float:
    trials = np.array([v.cardinality - 1.0 for v in variables]).reshape(-1, 1, 1)
    failures = trials - states
    ways = _log_factorial(trials) - _log_factorial(states) - _log_factorial(failures)
    return np.asarray(ways + _times_log(states, table) + _times_log(failures, 1.0 - table))


def _histogram(table: Float, states: Float, variables: Sequence[Variable]) -> Float:
    edges = np.array([v.edges for v in variables])
    bins = np.stack([bin_of(x[0], e) for x, e in zip(states, edges, strict=True)])[:, None]
    widths = np.diff(edges)[:, None]
    inside = np.take_along_axis(table / widths, np.maximum(bins, 0), axis=2)
    return np.asarray(np.log(np.where(bins < 0, 0.0, inside)))


def bin_of(values: Float, edges: Float) -> NDArray[np.int64]:
    """The bin of each value, -1 outside; the last bin has its upper edge too."""
    bins = np.searchsorted(edges, values, side="right") - 1
    bins = np.where(values == edges[-1], len(edges) - 2, bins)
    return np.where((values < edges[0]) | (values > edges[-1]), -1, bins)


def _times_log(times: Float, value: Float) -> Float:
    """``times * log(value)``, with 0 log 0 = 0."""
    with np.errstate(invalid="ignore"):
        return np.where(times == 0.0, 0.0, times * np.log(value))


_log_gamma = np.vectorize(math.lgamma, otypes=[np.float64])


def _log_factorial(values: Float) -> Float:
    return np.asarray(_log_gamma(values + 1.0))


def _discrete(variable: Variable) -> bool:
    return variable.discrete


def _real(variable: Variable) -> bool:
    return variable.domain == "real"


LEAVES: dict[Family, Leaf] = {
    Family.INDICATOR: Leaf(
        _discrete,
        lambda _: 0,
        "give indicators a discrete variable, and one unit a state",
        _no_density,
    ),
    Family.BERNOULLI: Leaf(
        lambda v: v.cardinality == 2,
        lambda _: 1,
        "give bernoulli inputs a variable with 2 states",
        _bernoulli,
    ),
    Family.CATEGORICAL: Leaf(
        _discrete,
        lambda v: v.cardinality,
        "give categorical inputs a discrete variable",
        _categorical,
    ),
    Family.GAUSSIAN: Leaf(_real, lambda _: 2, "give gaussian inputs a real variable", _gaussian),
    Family.BINOMIAL: Leaf(
        _discrete,
        lambda _: 1,
        "give binomial inputs a discrete variable, with one state more than trials",
        _binomial,
    ),
    Family.POISSON: Leaf(
        lambda v: v.domain == "count", lambda _: 1, "give poisson inputs a count", _poisson
    ),
    Family.LAPLACE: Leaf(_real, lambda _: 2, "give laplace inputs a real variable", _laplace),
    Family.HISTOGRAM: Leaf(
        lambda v: _real(v) and len(v.edges) > 1,
        lambda v: max(len(v.edges) - 1, 0),
        "give histogram inputs a real variable with edges",
        _histogram,
    ),
}
