"""Lowers a plan to ONNX nodes, layer by layer, in the plan's numeric forms."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.plan.layers import Form, Layer, Operands
from pccompiler.ir.plan.plan import Plan
from pccompiler.ir.plan.rounding import FEW_OPERANDS
from pccompiler.onnx_backend.graph import Graph
from pccompiler.onnx_backend.leaves.inputs import write_input
from pccompiler.onnx_backend.operands import home_of, pick, shift
from pccompiler.onnx_backend.ragged import ragged_sum
from pccompiler.onnx_backend.weights import WeightWriter


class Value(NamedTuple):
    """A layer's tensor, and its scale of shape (rows, 1, batch), or ``None`` if that is 0.

    Scales are float64, since along a deep circuit many small ones add up to large numbers.
    """

    x: str
    scale: str | None


class Lowering:
    """Writes a plan into a graph."""

    def __init__(self, graph: Graph, plan: Plan, weights: WeightWriter) -> None:
        self.graph, self.plan, self.weights = graph, plan, weights
        self.values: list[Value] = []
        self.logs: dict[int, str] = {}

    def run(self, x: str, output: str) -> None:
        """Write all layers; ``x`` is (batch, variables), ``output`` becomes (batch,)."""
        columns = self.graph.op("Transpose", x, perm=[1, 0])
        for number, layer in enumerate(self.plan.layers):
            self.values.append(self.layer(number, layer, columns))
        root = self.log(len(self.values) - 1)
        if self.plan.log_scale:
            root = self.graph.op("Add", root, self.graph.constant(self.plan.log_scale))
        self.graph.op("Squeeze", root, self.graph.ints(0, 1), name=output)

    def layer(self, number: int, layer: Layer, columns: str) -> Value:
        """The value of one layer."""
        if layer.kind == Kind.INPUT:
            return Value(write_input(self.graph, self.plan, self.weights, number, columns), None)
        if layer.kind == Kind.PRODUCT:
            return self.product(layer)
        if layer.kind in PRODUCTS:
            return self.crossed(layer)
        if layer.ragged:
            return Value(ragged_sum(self.graph, self.plan, self.weights, self.log, number), None)
        if layer.kind == Kind.MIXTURE:
            return self.mixture(number, layer)
        return self.shifted_sum(number, layer) if layer.shift else self.plain_sum(number, layer)

    def log(self, number: int) -> str:
        """The value of a layer in log form."""
        value = self.values[number]
        if self.plan.layers[number].form == Form.LOG:
            return value.x
        if number not in self.logs:
            out = self.graph.op("Log", value.x)
            if value.scale is not None:
                out = self.graph.cast(self.graph.op("Add", self.graph.wide(out), value.scale))
            self.logs[number] = out
        return self.logs[number]

    def operand(self, operands: Operands, place: int, tensors: dict[int, str]) -> str:
        """Operand ``place`` of all rows, from the sources' ``tensors``, shape (rows, ...)."""
        first = place * operands.rows
        if operands.start is not None:
            start = operands.start + first
            name = tensors[operands.sources[0].layer]
            if start == 0 and operands.rows == self.plan.layers[operands.sources[0].layer].rows:
                return name
            return self.graph.slice(name, start, start + operands.rows)
        home, row = home_of(operands)
        mine = slice(first, first + operands.rows)
        return pick(self.graph, self.plan, home[mine], row[mine], tensors)

    def xs(self, operands: Operands, form: Form) -> list[str]:
        """All operands in the wanted form, each of shape (rows, units, batch)."""
        linear = form == Form.LINEAR
        tensors = {
            s.layer: self.values[s.layer].x if linear else self.log(s.layer)
            for s in operands.sources
        }
        return [self.operand(operands, place, tensors) for place in range(operands.arity)]

    def scales(self, operands: Operands, zeros: bool = False) -> list[str]:
        """The operands' scales, each of shape (rows, 1, batch); none if all are 0.

        With ``zeros``, zeros are written out instead.
        """
        values = {s.layer: self.values[s.layer] for s in operands.sources}
        if not zeros and all(value.scale is None for value in values.values()):
            return []
        tensors = {layer: v.scale or self._no_scale(v.x) for layer, v in values.items()}
        return [self.operand(operands, place, tensors) for place in range(operands.arity)]

    def _no_scale(self, x: str) -> str:
        zero = self.graph.op("Mul", self.graph.slice(x, 0, 1, axis=1), self.graph.constant(0.0))
        return self.graph.wide(zero)

    def chain(self, kind: str, tensors: list[str]) -> str:
        """``tensors`` combined in sequence."""
        out = tensors[0]
        for tensor in tensors[1:]:
            out = self.graph.op(kind, out, tensor)
        return out

    def product(self, layer: Layer) -> Value:
        """Elementwise products, arity by arity."""
        kind = "Mul" if layer.form == Form.LINEAR else "Add"
        parts = [
            self.long_product(o)
            if layer.form == Form.LOG and o.arity > (2 if self.plan.packed else FEW_OPERANDS)
            else self.chain(kind, self.xs(o, layer.form))
            for o in layer.operands
        ]
        scale = self.product_scale(layer) if layer.form == Form.LINEAR else None
        return self.normalized(layer, Value(self.graph.concat(parts, axis=0), scale))

    def long_product(self, operands: Operands) -> str:
        """A product of many operands in log form: one gather and one sum."""
        home, row = home_of(operands)
        tensors = {n: self.log(n) for n in np.unique(home).tolist()}
        terms = self.graph.reshape(
            pick(self.graph, self.plan, home, row, tensors),
            operands.arity,
            operands.rows,
            operands.units,
            -1,
        )
        return self.graph.sum(terms, 0, operands.arity, keep=False)

    def product_scale(self, layer: Layer) -> str | None:
        """Sums of the operands' scales; if any row has one, all rows have."""
        sources = (self.values[below] for below in layer.below)
        if all(value.scale is None for value in sources):
            return None
        sums = [self.chain("Add", self.scales(o, zeros=True)) for o in layer.operands]
        return self.graph.concat(sums, axis=0)

    def normalized(self, layer: Layer, value: Value) -> Value:
        """Divide by the largest unit, if the plan normalizes the layer."""
        if not layer.normalize:
            return value
        top = self.graph.reduce("ReduceMax", value.x, 1)
        scale = self.graph.op("Log", self.graph.wide(top))
        if value.scale is not None:
            scale = self.graph.op("Add", scale, value.scale)
        return Value(self.graph.op("Div", value.x, top), scale)

    def crossed(self, layer: Layer) -> Value:
        """Products that are not elementwise: all pairs of units, or what the kind's table says."""
        graph, op = self.graph, "Mul" if layer.form == Form.LINEAR else "Add"
        xs = [self.xs(operands, layer.form)[0] for operands in layer.operands]
        widths = [operands.units for operands in layer.operands]
        if layer.kind == Kind.KRONECKER:
            out = xs[0]
            for place, right in enumerate(xs[1:], 2):
                out = graph.op(op, graph.unsqueeze(out, 2), graph.unsqueeze(right, 1))
                out = graph.reshape(out, layer.rows, prod(widths[:place]), -1)
        else:
            tables = [graph.constant(t, np.int32) for t in PRODUCTS[layer.kind].places(widths).T]
            pairs = zip(xs, tables, strict=True)
            out = self.chain(op, [graph.op("Gather", x, table, axis=1) for x, table in pairs])
        linear = layer.form == Form.LINEAR
        scales = [s for o in layer.operands for s in self.scales(o)] if linear else []
        return self.normalized(layer, Value(out, self.chain("Add", scales) if scales else None))

    def plain_sum(self, number: int, layer: Layer) -> Value:
        """Weights times a linear operand."""
        (x,) = self.xs(layer.operands[0], Form.LINEAR)
        scales = self.scales(layer.operands[0])
        return Value(
            self.graph.op("MatMul", self.weights.table(number), x), scales[0] if scales else None
        )

    def shifted_sum(self, number: int, layer: Layer) -> Value:
        """Log-sum-exp over all operands; a single unit applies its weights before the maximum."""
        graph = self.graph
        logs = graph.concat([x for o in layer.operands for x in self.xs(o, Form.LOG)], axis=1)
        one = layer.units == 1
        if one:
            weight = graph.op("Transpose", self.weights.log_table(number), perm=[0, 2, 1])
            logs = graph.op("Add", logs, weight)
        top, shifted = shift(self.graph, logs, 1)
        if one:
            out = graph.sum(shifted, 1, layer.fan_in)
        else:
            out = graph.op("MatMul", self.weights.table(number), shifted)
        if layer.form == Form.LINEAR:
            return Value(out, graph.wide(top))
        return Value(graph.op("Add", graph.op("Log", out), top), None)

    def mixture(self, number: int, layer: Layer) -> Value:
        """Log-sum-exp over operands, unit by unit."""
        graph = self.graph
        logs = [graph.unsqueeze(x, 0) for x in self._joined(layer.operands[0])]
        weight = graph.op("Transpose", self.weights.log_table(number), perm=[2, 0, 1])
        stacked = graph.reshape(
            graph.concat(logs, axis=0), layer.operands[0].arity, layer.rows, layer.units, -1
        )
        top, shifted = shift(self.graph, graph.op("Add", stacked, graph.unsqueeze(weight, 3)), 0)
        total = graph.op("Log", graph.sum(shifted, 0, layer.operands[0].arity, keep=False))
        return Value(graph.op("Add", total, graph.op("Squeeze", top, graph.ints(0))), None)

    def _joined(self, operands: Operands) -> list[str]:
        """Operands in log form; one tensor of (arity * rows, ...) if they are contiguous."""
        if operands.start is None:
            return self.xs(operands, Form.LOG)
        whole = self.log(operands.sources[0].layer)
        return [
            self.graph.slice(whole, operands.start, operands.start + operands.arity * operands.rows)
        ]
