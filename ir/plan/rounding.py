"""Rounding in float32: the oracle's values with a bound on the error of each row.

The bound is a first-order analysis of rounding (Higham 2002, "Accuracy and Stability of Numerical
Algorithms", chapters 3 and 4), carried along bottom up: the largest error that correct float32
arithmetic in the plan's forms can make in a row, so a larger difference is a fault. Errors are
absolute errors of logarithms, in multiples of the unit roundoff ``u = 2**-24``:

* *Leaves.* An entry of a table is rounded once. Densities formed in float64 are rounded at the end;
  for those formed in float32, the effect of changing each parameter by ``4 u`` is added; for those
  in float64 with positive parameters ``p``, by ``(4 + abs(log p)) u``, since backends keep their
  logarithms in float32. A missing
  value gives exactly 1.
* *Products* add up the errors of their operands. In linear form they also round ``n - 1``
  multiplications, and a division if they are normalized. In log form they round partial sums:
  at most ``n - 1`` or 7 (`FEW_OPERANDS`), none larger than the sum of the absolute values.
* *Sums* average the errors of their operands: the derivative of a sum's logarithm by that of an
  operand is the operand's share of it (its flow). They also round each weight once, and once for
  each term that is not 0. In log form every term is rounded on its way: with its weight as a
  logarithm, by subtracting the largest one and by exp; so is the result, by log and by adding the
  largest one.
* A linear value that is *read as a logarithm* is rounded by log and by adding its scale. Scales
  themselves are summed in float64.

So the bound grows with the number of terms and with the size of the summands. A row in which
everything is missing has the value 0, but its sums still have errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.ir.families import Family
from pccompiler.ir.families.supports import Positive, Real, Support, UnitInterval, slices
from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.plan.layers import Form, Layer, Operands
from pccompiler.ir.plan.oracle import added, gather, layer_value
from pccompiler.ir.plan.plan import Plan

Float = NDArray[np.float64]

UNIT_ROUNDOFF = 2.0**-24
"""The unit roundoff of float32: the largest relative error of one rounding."""
FEW_OPERANDS = 8
"""Backends add up to this many numbers in sequence, and more in a tree or in float64, so that no
number passes through more than 7 roundings of float32."""

_EXP = 4.0
"""Roundings of one exp: libraries are accurate to 2 units in the last place, which is 4 u."""
_LOG = 4.0
"""Roundings of one logarithm, relative to it."""
_PARAMETER = 4.0
_STEP = 1e-6


def _rounded_logarithm(parameter: Float) -> Float:
    with np.errstate(divide="ignore", invalid="ignore"):
        moved = parameter * (1.0 + (_PARAMETER + np.abs(np.log(parameter))) * UNIT_ROUNDOFF)
    return np.where(parameter > 0.0, moved, parameter)


def _rounded(parameter: Float) -> Float:
    """As far as rounding to float32 can move it."""
    return parameter * (1.0 + UNIT_ROUNDOFF)


def bounded_log_likelihood(
    plan: Plan, weights: Sequence[Float], x: ArrayLike
) -> tuple[Float, Float]:
    """Log-likelihood of each row in float64, and a bound on the error of an evaluation in float32.

    Args:
        plan: A lowered circuit; its numeric forms affect the bound, not the values.
        weights: One array per group, see `pccompiler.ir.plan.oracle.log_likelihood`.
        x: Shape ``(batch, variables)``, values that float32 represents exactly; NaN where missing.

    Returns:
        Values and bounds, each of shape ``(batch,)``, in nats. The bound is 0 where the value is
        ``-inf``.
    """
    walk = _Walk(plan, weights, np.asarray(x, np.float64))
    for layer in plan.layers:
        walk.step(layer)
    value, error = walk.values[-1][0, 0] + plan.log_scale, walk.as_logs[-1][0, 0]
    if plan.log_scale:
        error = error + _size(value) + abs(plan.log_scale)
    return value, np.where(np.isneginf(value), 0.0, UNIT_ROUNDOFF * error)


class _Walk:
    """Layer by layer, all of shape (rows, units, batch).

    Values, their errors, their errors when read as logarithms, and the scales of linear values
    (see `pccompiler.ir.plan.layers.Form`).
    """

    def __init__(self, plan: Plan, weights: Sequence[Float], x: Float) -> None:
        self.plan, self.weights, self.x = plan, weights, x
        self.values: list[Float] = []
        self.errors: list[Float] = []
        self.as_logs: list[Float] = []
        self.scales: list[Float] = []

    def step(self, layer: Layer) -> None:
        """Evaluate one layer, and free the layers that no later layer reads."""
        number = len(self.values)
        self.values.append(layer_value(self.plan, layer, self.weights, self.values, self.x))
        if layer.kind == Kind.INPUT:
            error = self._input(layer)
        elif layer.kind in PRODUCTS:
            error = self._product(layer)
        else:
            error = self._ragged(layer) if layer.ragged else self._sum(layer)
        self.errors.append(error)
        self.scales.append(self._scale(layer))
        self.as_logs.append(error + self._reading(layer))
        for below in set(layer.below):
            if self.plan.last_use[below] == number:
                for kept in (self.values, self.errors, self.as_logs, self.scales):
                    kept[below] = np.zeros(0)

    def _scale(self, layer: Layer) -> Float:
        """The scale of the layer's linear value; 0 in log form."""
        value = self.values[-1]
        if layer.form == Form.LOG or layer.kind == Kind.INPUT:
            return np.zeros_like(value)
        if layer.kind in (Kind.SUM, Kind.MIXTURE):
            below = self.values if layer.shift else self.scales
            columns = [c for o in layer.operands for c in gather(o, below)]
            top = np.concatenate(columns, axis=1).max(axis=1, keepdims=True)
            return np.broadcast_to(_finite(top), value.shape)
        scale = added(layer, [gather(operands, self.scales) for operands in layer.operands])
        if layer.normalize:
            scale = scale + _finite((value - scale).max(axis=1, keepdims=True))
        return scale

    def _reading(self, layer: Layer) -> Float | float:
        """The rounding error of taking the logarithm of a linear value and adding its scale."""
        if layer.form == Form.LOG or layer.family == Family.INDICATOR:
            return 0.0
        value, scale = self.values[-1], self.scales[-1]
        return _LOG * _size(value - scale) + (_size(value) if scale.any() else 0.0)

    def _input(self, layer: Layer) -> Float:
        value = self.values[-1]
        if layer.family is None or layer.variables is None or layer.family == Family.INDICATOR:
            return np.zeros_like(value)
        seen = ~np.isnan(self.x.T[layer.variables])[:, None]
        if layer.tabular:
            own = 1.0 + (_LOG * _size(value) if layer.form == Form.LOG else 0.0)
        elif layer.family.in_float64:
            own = _size(value)
            if any(isinstance(p.support, Positive) for p in layer.family.parameters):
                own = own + self._change(layer, _rounded_logarithm, Positive) / UNIT_ROUNDOFF
            if any(isinstance(p.support, Real) for p in layer.family.parameters):
                own = own + self._change(layer, _rounded, Real) / UNIT_ROUNDOFF
        else:
            moved = self._change(layer, lambda p: p * (1.0 + _STEP))
            own = 1.0 + 3.0 * _size(value) + _PARAMETER * moved / _STEP
        if any(isinstance(p.support, UnitInterval) for p in layer.family.parameters):
            # float64 rounds 1 - p, too
            own = own + 2.0 * self._change(layer, lambda p: np.nextafter(p, 0.0)) / UNIT_ROUNDOFF
        return np.where(seen, own, 0.0)

    def _change(
        self, layer: Layer, move: Callable[[Float], Float], kind: type[Support] = Support
    ) -> Float:
        """How much log-densities change with each of their parameters of a kind of support."""
        if layer.family is None or layer.variables is None:
            raise AssertionError("an input layer has a family and variables")  # pragma: no cover
        table = self.weights[layer.group][layer.index]
        variables = [self.plan.variables[v] for v in layer.variables.tolist()]
        states = np.nan_to_num(self.x.T[layer.variables][:, None])
        value = layer.family.log_density(table, states, variables)
        total = np.zeros_like(value)
        parameters, size = layer.family.parameters, table.shape[2]
        columns = [
            column
            for parameter, place in zip(parameters, slices(parameters, size), strict=True)
            if isinstance(parameter.support, kind)
            for column in range(*place.indices(size))
        ]
        for column in columns:
            moved = table.copy()
            moved[..., column] = move(table[..., column])
            other = layer.family.log_density(moved, states, variables)
            total += np.abs(_finite(other) - _finite(value)) * np.isfinite(value)
        return total

    def _below(self, layer: Layer, operands: Operands) -> tuple[Float, Float]:
        """Values of operands and their errors, as the layer reads them: (arity, rows, ...)."""
        as_logs = layer.form == Form.LOG or layer.shift
        errors = self.as_logs if as_logs else self.errors
        return gather(operands, self.values), gather(operands, errors)

    def _product(self, layer: Layer) -> Float:
        pairs = [self._below(layer, operands) for operands in layer.operands]
        errors = added(layer, [errors for _, errors in pairs])
        if layer.form == Form.LINEAR:
            return errors + (layer.arities[:, None, None] - 1.0 + layer.normalize)
        partial = np.minimum(layer.arities[:, None, None], FEW_OPERANDS) - 1
        return errors + partial * added(layer, [_size(values) for values, _ in pairs])

    def _sum(self, layer: Layer) -> Float:
        weights = _logs(self.weights[layer.group][layer.index])
        pairs = [self._below(layer, operands) for operands in layer.operands]
        value = self.values[-1]
        if layer.kind == Kind.MIXTURE:  # (rows, arity, units, batch)
            terms, errors = (each.swapaxes(0, 1) for each in pairs[0])
            return _mixed(layer, terms, errors, weights.transpose(0, 2, 1)[..., None], value)
        terms, errors = (
            np.concatenate([column for pair in pairs for column in pair[side]], axis=1)
            for side in (0, 1)
        )
        units = [
            _mixed(layer, terms, errors, weights[:, u, :, None], value[:, u])
            for u in range(layer.units)
        ]
        return np.stack(units, axis=1)

    def _ragged(self, layer: Layer) -> Float:
        parts: list[Float] = []
        start = 0
        for group, operands in zip(layer.groups, layer.operands, strict=True):
            span = slice(start, start + operands.rows)
            index = None if layer.index is None else layer.index[span]
            weights = _logs(self.weights[group][index, 0])[:, :, None]
            terms, errors = (each[:, :, 0].swapaxes(0, 1) for each in self._below(layer, operands))
            parts.append(_mixed(layer, terms, errors, weights, self.values[-1][span, 0]))
            start = span.stop
        return np.concatenate(parts)[:, None]


def _mixed(layer: Layer, terms: Float, errors: Float, weights: Float, value: Float) -> Float:
    """The error of weighted sums over axis 1, from terms and weights as logarithms."""
    weighted = terms + weights
    with np.errstate(invalid="ignore"):
        shares = np.exp(weighted - value[:, None])
    shares = np.where(np.isneginf(value)[:, None], 0.0, shares)
    used = np.count_nonzero(shares, axis=1)
    if layer.form == Form.LINEAR and not layer.shift:
        linear: Float = (shares * errors).sum(axis=1) + 1.0 + used
        return linear
    if layer.units == 1 or layer.kind == Kind.MIXTURE:  # weights enter as logarithms
        errors = errors + _size(weights) + _size(weighted)
        used, terms = np.minimum(used, FEW_OPERANDS), weighted
    top = _finite(terms.max(axis=1, keepdims=True))
    error: Float = (shares * (errors + _size(terms - top) + _EXP)).sum(axis=1) + 1.0 + used
    if layer.form == Form.LOG:
        error = error + _LOG * _size(value - top[:, 0]) + _size(value)
    return error


def _logs(weights: Float) -> Float:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(weights))


def _finite(top: Float) -> Float:
    """A maximum that is safe to subtract: -inf becomes 0."""
    return np.asarray(np.where(np.isneginf(top), 0.0, top))


def _size(values: Float) -> Float:
    """Absolute values; 0 for -inf, which is exact."""
    return np.asarray(np.where(np.isneginf(values), 0.0, np.abs(values)))
