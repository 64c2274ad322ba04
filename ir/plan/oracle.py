"""The oracle: runs a plan in float64 NumPy, all in log space. It is slow, and the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.ir.kinds import PRODUCTS, Kind, factors
from pccompiler.ir.plan.layers import Layer, Operands
from pccompiler.ir.plan.plan import Plan

Float = NDArray[np.float64]


def log_likelihood(plan: Plan, weights: Sequence[Float], x: ArrayLike) -> Float:
    """Log-likelihood of each row of ``x``, in nats.

    Args:
        plan: A lowered circuit; numeric forms are ignored, everything is in log space.
        weights: One array per group, shape ``(weights, rows, columns)``, from `materialize`.
        x: Shape ``(batch, variables)``; NaN is a missing value and is integrated out.

    Returns:
        Shape ``(batch,)``; ``-inf`` where the density is zero.
    """
    rows = np.asarray(x, np.float64)
    values: list[Float] = []
    for position, layer in enumerate(plan.layers):
        values.append(layer_value(plan, layer, weights, values, rows))
        for below in layer.below:
            if plan.last_use[below] == position:
                values[below] = np.zeros(0)
    result: Float = values[-1][0, 0] + plan.log_scale
    return result


def layer_value(
    plan: Plan, layer: Layer, weights: Sequence[Float], values: Sequence[Float], x: Float
) -> Float:
    """The logarithms of one layer, shape (rows, units, batch), from those of the layers below.

    Args:
        plan: The plan that has the layer.
        layer: The layer to evaluate.
        weights: As in `log_likelihood`.
        values: Values of the layers before, by number.
        x: Shape ``(batch, variables)``.
    """
    if layer.ragged:
        return _ragged(layer, weights, values)
    table = weights[layer.group][layer.index] if layer.group >= 0 else None
    if layer.kind == Kind.INPUT:
        return _input(plan, layer, table, x)
    operands = [gather(o, values) for o in layer.operands]
    if layer.kind in PRODUCTS:
        return added(layer, operands)
    with np.errstate(divide="ignore"):
        log_weights = np.log(np.zeros(0) if table is None else table)
    if layer.kind == Kind.MIXTURE:  # (rows, arity, units, batch) + (rows, arity, units, 1)
        columns = operands[0].swapaxes(0, 1)
        return _log_sum_exp(columns + log_weights.transpose(0, 2, 1)[..., None])
    flat = np.concatenate([column for o in operands for column in o], axis=1)
    units = [_log_sum_exp(flat + log_weights[:, u, :, None]) for u in range(layer.units)]
    return np.stack(units, axis=1)


def _ragged(layer: Layer, weights: Sequence[Float], values: Sequence[Float]) -> Float:
    """Scalar sums, grouped by fan-in."""
    parts: list[Float] = []
    start = 0
    for group, operands in zip(layer.groups, layer.operands, strict=True):
        stop = start + operands.rows
        index = None if layer.index is None else layer.index[start:stop]
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights[group][index, 0])  # (rows, arity)
        columns = gather(operands, values)[:, :, 0].swapaxes(0, 1)  # (rows, arity, batch)
        parts.append(_log_sum_exp(columns + log_weights[:, :, None]))
        start = stop
    return np.concatenate(parts)[:, None]


def gather(operands: Operands, values: Sequence[Float]) -> Float:
    """Operand values, shape (arity, rows, units, batch)."""
    batch = values[operands.sources[0].layer].shape[-1]
    out = np.empty((operands.rows * operands.arity, operands.units, batch))
    for source in operands.sources:
        out[source.positions] = values[source.layer][source.rows]
    return out.reshape(operands.arity, operands.rows, operands.units, batch)


def added(layer: Layer, operands: Sequence[Float]) -> Float:
    """For each unit of a product layer, the sum over the units that it multiplies.

    Args:
        layer: Of products.
        operands: For each entry of ``layer.operands``, shape (arity, rows, units, batch).
    """
    if layer.kind == Kind.PRODUCT:
        return np.concatenate([o.sum(axis=0) for o in operands])
    return sum(factors(layer.kind, [o[0] for o in operands], axis=1), np.zeros(()))


def _log_sum_exp(values: Float) -> Float:
    """Log of the sum of exp over axis 1; an empty or all-zero sum is -inf."""
    top = values.max(axis=1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        out: Float = np.log(np.exp(values - top).sum(axis=1)) + top[:, 0]
    return out


def _input(plan: Plan, layer: Layer, table: Float | None, x: Float) -> Float:
    """Log-densities, shape (rows, units, batch); 0 where the variable is missing."""
    if layer.family is None or layer.variables is None:
        raise AssertionError("an input layer has a family and variables")  # pragma: no cover
    column = x.T[layer.variables][:, None]  # (rows, 1, batch)
    missing = np.isnan(column)
    state = np.where(missing, 0, column)
    variables = [plan.variables[v] for v in layer.variables.tolist()]
    without = np.zeros((layer.rows, layer.units, 0))
    out = layer.family.log_density(without if table is None else table, state, variables)
    return np.where(missing, 0.0, out)
