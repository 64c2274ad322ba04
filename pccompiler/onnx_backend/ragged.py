"""Ragged sums as nodes: rows of similar fan-in share one table, padded with weights of zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.layers import Layer, Operands

if TYPE_CHECKING:
    from pccompiler.onnx_backend.lower import Lowering

_FREE = 256  # padded entries that cost less than a further dozen nodes


def buckets(parts: list[tuple[int, int]]) -> list[list[int]]:
    """Parts that share a table: neighbours, with at most a quarter of padding.

    Args:
        parts: Rows and fan-in of each part, fan-ins ascending.

    Returns:
        Numbers of the parts of each bucket, in order.
    """
    made: list[list[int]] = []
    rows = entries = 0
    for number, (more, fan_in) in enumerate(parts):
        padded = (rows + more) * fan_in
        full = entries + more * fan_in
        if made and padded - full <= full // 4 + _FREE:
            made[-1].append(number)
            rows, entries = rows + more, full
        else:
            made.append([number])
            rows, entries = more, more * fan_in
    return made


def home_of(operands: Operands) -> tuple[Int, Int]:
    """Layer and row of every operand, first all first operands, and so on."""
    home, row = np.empty((2, operands.rows * operands.arity), np.int64)
    for source in operands.sources:
        home[source.positions] = source.layer
        row[source.positions] = source.rows
    return home, row


def ragged_sum(lowering: Lowering, number: int, layer: Layer) -> str:
    """Log-sum-exp of sums of one unit and any fan-in, shape (rows, 1, batch)."""
    shapes = [(operands.rows, operands.arity) for operands in layer.operands]
    parts = [_bucket(lowering, number, layer, bucket) for bucket in buckets(shapes)]
    return lowering.graph.concat(parts, axis=0)


def _bucket(lowering: Lowering, number: int, layer: Layer, parts: list[int]) -> str:
    """The sums of some parts, shape (rows, 1, batch)."""
    graph, widest = lowering.graph, layer.operands[parts[-1]].arity
    homes = [_padded(layer.operands[part], widest) for part in parts]
    home, row = (np.concatenate(columns) for columns in zip(*homes, strict=True))
    tensors = {n: lowering.log(n) for n in np.unique(home).tolist()}
    terms = graph.reshape(lowering.pick(home, row, tensors), len(home) // widest, widest, -1)
    weights = [_log_weights(lowering, number, layer, part, widest) for part in parts]
    terms = graph.op("Add", terms, graph.concat(weights, axis=0))
    top, shifted = lowering.shift(terms, 1)
    return graph.op("Add", graph.op("Log", graph.sum(shifted, 1, widest)), top)


def _padded(operands: Operands, width: int) -> tuple[Int, Int]:
    """Layer and row of every operand, row by row; the first operand fills the padding."""
    columns: list[Int] = []
    for flat in home_of(operands):
        table = flat.reshape(operands.arity, operands.rows).T
        padding = np.repeat(table[:, :1], width - operands.arity, axis=1)
        columns.append(np.concatenate([table, padding], axis=1).ravel())
    return columns[0], columns[1]


def _log_weights(lowering: Lowering, number: int, layer: Layer, part: int, width: int) -> str:
    """Logarithms of a part's weights, shape (rows, width, 1); -inf where padded."""
    graph, arity = lowering.graph, layer.operands[part].arity
    table = lowering.weights.log_table(number, part, spread=True)  # (rows, 1, arity)
    column = graph.op("Transpose", table, perm=[0, 2, 1])
    if arity == width:
        return column
    return graph.op(
        "Pad", column, graph.ints(0, 0, 0, 0, width - arity, 0), graph.constant(-np.inf)
    )
