"""Ragged sums as nodes: rows of similar fan-in share one table, padded with zero weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.layers import Operands
from pccompiler.ir.plan.plan import Plan
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.operands import home_of, pick, shift
from pccompiler.onnx_backend.weights import WeightWriter

_FREE = 256  # padded entries that cost less than another dozen nodes


def buckets(parts: list[tuple[int, int]]) -> list[list[int]]:
    """Groups of adjacent parts that share a table, at most a quarter of which is padding.

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


def ragged_sum(
    graph: Graph, plan: Plan, weights: WeightWriter, log: Callable[[int], str], number: int
) -> str:
    """Log-sum-exp of sums of one unit and any fan-in, shape (rows, 1, batch).

    Args:
        graph: Where the nodes go.
        plan: The plan with the ragged layer.
        weights: Weights of all layers.
        log: Returns the value of a layer in log form.
        number: The number of the layer.
    """
    operands = plan.layers[number].operands
    sums: list[str] = []
    for parts in buckets([(part.rows, part.arity) for part in operands]):
        widest = operands[parts[-1]].arity
        homes = [_padded(operands[part], widest) for part in parts]
        home, row = (np.concatenate(columns) for columns in zip(*homes, strict=True))
        tensors = {n: log(n) for n in np.unique(home).tolist()}
        terms = pick(graph, plan, home, row, tensors)
        terms = graph.reshape(terms, len(home) // widest, widest, -1)
        logs = [
            _padded_weights(graph, weights.log_table(number, part, spread=True), arity, widest)
            for part, arity in ((part, operands[part].arity) for part in parts)
        ]
        terms = graph.op("Add", terms, graph.concat(logs, axis=0))
        top, shifted = shift(graph, terms, 1)
        sums.append(graph.op("Add", graph.op("Log", graph.sum(shifted, 1, widest)), top))
    return graph.concat(sums, axis=0)


def _padded(operands: Operands, width: int) -> tuple[Int, Int]:
    """Layer and row of every operand, row by row; the first operand fills the padding."""
    columns: list[Int] = []
    for flat in home_of(operands):
        table = flat.reshape(operands.arity, operands.rows).T
        padding = np.repeat(table[:, :1], width - operands.arity, axis=1)
        columns.append(np.concatenate([table, padding], axis=1).ravel())
    return columns[0], columns[1]


def _padded_weights(graph: Graph, table: str, arity: int, width: int) -> str:
    """From log-weights of shape (rows, 1, arity) to (rows, width, 1); -inf where padded."""
    column = graph.op("Transpose", table, perm=[0, 2, 1])
    if arity == width:
        return column
    return graph.op(
        "Pad", column, graph.ints(0, 0, 0, 0, width - arity, 0), graph.constant(-np.inf)
    )
