"""The least work of a pass over a plan: arithmetic, special functions, bytes through memory.

The count is of the definition in linear space, where nothing is computed twice:

* Each multiplication and each addition of sums and products counts as one, and so does a comparison
  in place of an addition. Normalization counts as nothing, since floating point applies a
  power-of-two scale anyway.
* A leaf with a table, and a sum over one indicator, look a value up, without arithmetic.
* Gradients of weights take a multiplication and an addition for each row of the data; a leaf's, one
  addition. Expected counts are the gradients times the weights, and take as much.
* Special functions are those of leaves, of the root's logarithm and, backward, its reciprocal.
* Bytes: each input is read once and each output written once. Layer values, generated weights and,
  in a whole step, gradients stay on chip in a fused kernel and do not count.

`pccompiler.bench.weight_work` counts softmax and hypernetworks; each of `pccompiler.bench.kinds`
says what it consists of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pccompiler.bench.units import NUMBER, Work
from pccompiler.ir.arrays import Int
from pccompiler.ir.families import Family
from pccompiler.ir.kinds import PRODUCTS, SUMS, Kind
from pccompiler.ir.plan.layers import Layer, Operands
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan

MATRIX = 16
"""The smallest units and fan-in of a dense sum for matrix units."""


def ascent(plan: Plan, batch: int) -> Work:
    """From weights to log-likelihoods of ``batch`` complete rows."""
    tables = _Rows.of(plan)
    total = Work(special=1)
    for layer in plan.layers:
        total += _forward(tables, layer)
    return total.times(batch)


def descent(plan: Plan, batch: int, *, weights: bool = True) -> Work:
    """From log-likelihoods to the gradients of weights, or to their expected counts.

    Args:
        plan: Any plan.
        batch: Rows.
        weights: Whether those of weights are wanted. Without them, the flows of sums and products
            that depend on weights are.
    """
    tables = _Rows.of(plan)
    total = Work(special=1)
    for number, layer in enumerate(plan.layers):
        total += _flows(tables, number, layer)
        if weights:
            total += _into_weights(tables, layer)
    return total.times(batch)


def moved(plan: Plan, batch: int, *, passes: int, results: int) -> Work:
    """Bytes of the data, of all parameters so many times, and of so many other numbers."""
    data = batch * len(plan.variables)
    return Work(bytes=NUMBER * (data + passes * lay_out(plan).num_parameters + results))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Facts about each row of each layer.

    Attributes:
        indicator: Whether a layer's rows are indicators.
        trained: Whether a row depends on parameters, so that its gradient is needed.
        readers: How many times a row is an operand of other rows.
    """

    indicator: list[bool]
    trained: list[Int]
    readers: list[Int]

    @classmethod
    def of(cls, plan: Plan) -> _Rows:
        rows = cls([], [], [np.zeros(layer.rows, np.int64) for layer in plan.layers])
        for layer in plan.layers:
            rows.indicator.append(layer.family == Family.INDICATOR)
            rows.trained.append(rows._trained(layer))
            for operands in layer.operands:
                for source in operands.sources:
                    np.add.at(rows.readers[source.layer], source.rows, 1)
        return rows

    def _trained(self, layer: Layer) -> Int:
        if layer.index is not None:
            return np.ones(layer.rows, np.int64)
        found = [self.of_operands(operands).max(0) for operands in layer.operands]
        if layer.kind == Kind.PRODUCT:  # parts are stacked
            return np.concatenate(found)
        return np.max(found, axis=0) if found else np.zeros(layer.rows, np.int64)

    def of_operands(self, operands: Operands) -> Int:
        """`trained` of the operands, shape (arity, rows)."""
        found = np.zeros(operands.arity * operands.rows, np.int64)
        for source in operands.sources:
            found[source.positions] = self.trained[source.layer][source.rows]
        return found.reshape(operands.arity, operands.rows)

    def looked_up(self, layer: Layer) -> int:
        """How many rows are sums over one indicator."""
        if layer.kind != Kind.SUM or sum(o.arity for o in layer.operands) != 1:
            return 0
        sources = layer.operands[0].sources
        return sum(len(s.rows) for s in sources if self.indicator[s.layer])


def _forward(tables: _Rows, layer: Layer) -> Work:
    """Work for one row of data."""
    rows, units = layer.rows, layer.units
    if layer.kind == Kind.INPUT:
        flops, special, _ = (layer.family or Family.INDICATOR).work
        return Work(flops=rows * units * flops, special=rows * units * special)
    if layer.kind == Kind.PRODUCT:
        return Work(flops=units * sum(o.rows * (o.arity - 1) for o in layer.operands))
    if layer.kind == Kind.KRONECKER:
        widths = np.cumprod([w for o in layer.operands for w in [o.units] * o.arity])
        return Work(flops=rows * int(widths[1:].sum()))
    if layer.kind in PRODUCTS:
        return Work(flops=rows * units * (len(layer.operands) - 1))
    if layer.ragged:
        return Work(flops=sum(o.rows * (2 * o.arity - 1) for o in layer.operands))
    if layer.kind == Kind.MIXTURE:
        return Work(flops=rows * units * (2 * sum(o.arity for o in layer.operands) - 1))
    rows -= tables.looked_up(layer)
    return _sums(layer, rows * units * (2 * layer.fan_in - 1))


def _sums(layer: Layer, flops: int) -> Work:
    """Work of dense sums, by matrix units where they are large enough."""
    wide = min(layer.units, layer.fan_in) >= MATRIX
    return Work(matrix=flops) if wide else Work(flops=flops)


def _flows(tables: _Rows, number: int, layer: Layer) -> Work:
    """Work for one row of data to add up a layer's flows, and to send them to its operands."""
    shared = layer.units * np.maximum(tables.readers[number] - 1, 0) * tables.trained[number]
    found = Work(flops=int(shared.sum()))
    if layer.kind == Kind.INPUT:
        return found
    if layer.kind == Kind.PRODUCT:
        return found + Work(flops=sum(_product_back(tables, o) for o in layer.operands))
    if layer.kind == Kind.KRONECKER:
        return found + Work(flops=_kronecker_back(tables, layer))
    taken = sum(int(tables.of_operands(o).sum()) for o in layer.operands)
    if layer.kind in PRODUCTS:  # each operand's is the product's times the others, added up
        return found + Work(flops=len(layer.operands) * layer.units * taken)
    if layer.kind == Kind.MIXTURE or layer.ragged:
        return found + Work(flops=layer.units * taken)
    inputs = sum(
        int(tables.of_operands(o).sum()) * o.units * (2 * layer.units - 1) for o in layer.operands
    )
    return found + _sums(layer, inputs)


def _into_weights(tables: _Rows, layer: Layer) -> Work:
    """Work for one row of data; it includes the sum over rows of data."""
    if layer.kind == Kind.INPUT:
        _, _, flops = (layer.family or Family.INDICATOR).work
        return Work(flops=0 if layer.index is None else layer.rows * layer.units * flops)
    if layer.kind == Kind.MIXTURE or layer.ragged:
        return Work(flops=2 * layer.units * sum(o.rows * o.arity for o in layer.operands))
    if layer.kind not in SUMS:
        return Work()
    looked_up = tables.looked_up(layer)
    rows = layer.rows - looked_up
    return Work(flops=looked_up * layer.units) + _sums(layer, 2 * rows * layer.units * layer.fan_in)


def _product_back(tables: _Rows, operands: Operands) -> int:
    """Each operand's gradient is the product's times the other operands."""
    taken = tables.of_operands(operands).sum(0)
    flops = 2 * taken - 1 - (taken == operands.arity)
    return operands.units * int(flops[taken > 0].sum())


def _kronecker_back(tables: _Rows, layer: Layer) -> int:
    """From the last operand to the first: the gradients of all operands before it, and its own."""
    widths = [w for o in layer.operands for w in [o.units] * o.arity]
    taken = np.concatenate([tables.of_operands(o) for o in layer.operands])
    left, total = int(np.prod(widths)), 0
    for place in range(len(widths) - 1, 0, -1):
        width = widths[place]
        left //= width
        total += int(taken[place].sum()) * width * (2 * left - 1)
        total += int(taken[:place].max(0).sum()) * left * (2 * width - 1)
    return total
