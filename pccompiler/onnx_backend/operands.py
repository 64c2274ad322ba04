"""Locates operands, and reads rows of several layers as one tensor."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.layers import Operands
from pccompiler.ir.plan.plan import Plan
from pccompiler.onnx_backend.graph import Graph


def home_of(operands: Operands) -> tuple[Int, Int]:
    """Layer and row of every operand, first all first operands, and so on."""
    home, row = np.empty((2, operands.rows * operands.arity), np.int64)
    for source in operands.sources:
        home[source.positions] = source.layer
        row[source.positions] = source.rows
    return home, row


def pick(graph: Graph, plan: Plan, home: Int, row: Int, tensors: Mapping[int, str]) -> str:
    """Rows ``row[i]`` of layers ``home[i]``, stacked.

    The layers are concatenated and read once, or read one by one if that copies less.

    Args:
        graph: Where the nodes go.
        plan: Gives the number of rows of each layer.
        home: Shape ``(operands,)``, the layer of each.
        row: Shape ``(operands,)``, the row of each in its layer.
        tensors: The layers' tensors, shape (rows, ...).
    """
    layers = np.unique(home).tolist()
    sizes = [plan.layers[layer].rows for layer in layers]
    if len(layers) == 1 or sum(sizes) <= 2 * len(home):
        before = np.zeros(max(layers) + 1, np.int64)
        before[layers] = np.cumsum([0, *sizes[:-1]])
        return graph.take(graph.concat([tensors[n] for n in layers], axis=0), before[home] + row)
    order = np.argsort(home, kind="stable")
    parts = [graph.take(tensors[n], row[home == n]) for n in layers]
    back = np.argsort(order, kind="stable")
    together = graph.concat(parts, axis=0)
    return together if bool((np.diff(back) == 1).all()) else graph.take(together, back)


def shift(graph: Graph, logs: str, axis: int) -> tuple[str, str]:
    """The maximum over ``axis`` (0 where it is -inf), and exp of the rest."""
    top = graph.reduce("ReduceMax", logs, axis)
    bottom = graph.op("IsInf", top, detect_positive=0)
    top = graph.op("Where", bottom, graph.constant(0.0), top)
    return top, graph.op("Exp", graph.op("Sub", logs, top))
