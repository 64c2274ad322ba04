"""The bottom-up evaluation of a plan."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.plan.layers import Form, Layer
from pccompiler.ir.plan.rounding import FEW_OPERANDS
from pccompiler.torch_backend.engines.layered.operands import Indexed
from pccompiler.torch_backend.engines.layered.pool import Lease
from pccompiler.torch_backend.leaves.lookup import look_up
from pccompiler.torch_backend.runtime.addition import add_up
from pccompiler.torch_backend.values import Value, finite, has_table, to_log, value_of


class Forward:
    """One bottom-up evaluation; with ``keep`` it keeps what the backward pass needs."""

    def __init__(
        self,
        indexed: Indexed,
        inputs: Mapping[int, Tensor],
        weights: Mapping[int, Tensor],
        like: Tensor,
        keep: bool,
        complete: bool,
    ) -> None:
        self.indexed = indexed
        self.plan = indexed.plan
        self.keep = keep
        self.complete = complete
        self.values: list[Value | None] = [None] * len(self.plan.layers)
        self.saved: dict[int, tuple[Tensor, ...]] = {}
        self.lease = Lease(indexed.pool, like)
        self.inputs, self.weights = inputs, weights

    def run(self) -> Tensor:
        self.below(len(self.plan.layers))
        return self.root()

    def below(self, stop: int) -> None:
        """Evaluate all layers before ``stop``."""
        for number, layer in enumerate(self.plan.layers[:stop]):
            self.values[number] = self.evaluate(number, layer)
            if not self.keep:
                for below in set(layer.below):
                    if self.plan.last_use[below] == number:
                        self.lease.give_back(value_of(self.values, below).x)
                        self.values[below] = None

    def root(self) -> Tensor:
        """The root's logarithm, shape ``(batch,)``."""
        root = value_of(self.values, -1)
        out = root.x if self.plan.layers[-1].form == Form.LOG else to_log(root)
        return out[0, 0].clone()

    def evaluate(self, number: int, layer: Layer) -> Value:
        if layer.kind == Kind.INPUT:
            return self.input(number, layer)
        if layer.kind == Kind.PRODUCT:
            return self.product(number, layer)
        if layer.kind in PRODUCTS:
            return self.crossed(number, layer)
        if layer.kind == Kind.MIXTURE:
            return self.mixture(number)
        return self.shifted_sum(number, layer) if layer.shift else self.plain_sum(number)

    def input(self, number: int, layer: Layer) -> Value:
        given = self.inputs[number]
        if not has_table(layer):
            return Value(given, None)
        table = self.weights[number]
        if not given.is_floating_point():
            out = self.lease.take((*table.shape[:2], given.shape[-1]))
            return Value(look_up(table, given, log=layer.form == Form.LOG, out=out), None)
        x = torch.bmm(table, given)
        if layer.form == Form.LINEAR:
            return Value(x, None)
        if self.keep:
            self.saved[number] = (x,)
        return Value(x.log(), None)

    def product(self, number: int, layer: Layer) -> Value:
        parts = [self.operand(number, part, layer.form) for part in range(len(layer.operands))]
        first = parts[0].x
        out = self.lease.take((layer.rows, *first.shape[2:]))
        start = 0
        for value in parts:
            rows = value.x.shape[1]
            _combine(value.x, layer.form, out[start : start + rows])
            start += rows
        return self.normalized(layer, Value(out, self.product_scale(parts)))

    def product_scale(self, parts: list[Value]) -> Tensor | None:
        """Scales of a product's rows, part after part; ``None`` if all are 0."""
        if all(part.scale is None for part in parts):
            return None
        scales: list[Tensor] = []
        for x, scale in parts:
            if scale is None:
                scales.append(x.new_zeros(x.shape[1], x.shape[-1], dtype=torch.float64))
            else:
                scales.append(scale[0] + scale[1] if len(scale) == 2 else scale.sum(0))
        return scales[0] if len(scales) == 1 else torch.cat(scales)

    def normalized(self, layer: Layer, value: Value) -> Value:
        if not layer.normalize:
            return value
        top = self.lease.take((len(value.x), value.x.shape[-1]))
        torch.amax(value.x, -2, out=top)
        value.x.div_(top.unsqueeze(-2))
        scale = top.log_().double()
        if top is not scale:
            self.lease.give_back(top)
        return Value(value.x, scale if value.scale is None else scale.add_(value.scale))

    def fetch(self, number: int, part: int) -> Value:
        """See `Indexed.fetch`."""
        return self.indexed.fetch(number, part, self.values, self.lease)

    def operand(self, number: int, part: int, form: Form) -> Value:
        """Operands in the given form; linear ones keep their scale."""
        value = self.fetch(number, part)
        sources = self.plan.layers[number].operands[part].sources
        forms = {self.plan.layers[s.layer].form for s in sources}
        if form == Form.LINEAR or forms == {Form.LOG}:
            return value
        if forms == {Form.LINEAR}:
            return Value(to_log(value), None)
        logs: list[Value | None] = [None] * len(self.values)  # mixed: convert before gathering
        for source in sources:
            below = value_of(self.values, source.layer)
            linear = self.plan.layers[source.layer].form == Form.LINEAR
            logs[source.layer] = Value(to_log(below), None) if linear else below
        return self.indexed.fetch(number, part, logs, self.lease)

    def crossed(self, number: int, layer: Layer) -> Value:
        """Products that are not elementwise: all pairs of units, or what the kind's table says."""
        parts = [self.operand(number, part, layer.form) for part in range(len(layer.operands))]
        places, xs = self.indexed.places.get(number), [part.x[0] for part in parts]
        if places is not None:
            xs = [x.index_select(1, place) for x, place in zip(xs, places, strict=True)]
        # a copy: the operand has other readers and may be dropped
        out = xs[0].clone() if len(xs) == 1 else xs[0]
        for right in xs[1:]:
            if places is None:
                out, right = out.unsqueeze(2), right.unsqueeze(1)
            out = out * right if layer.form == Form.LINEAR else out + right
            out = out.flatten(1, 2) if places is None else out
        scales = [part.scale[0] for part in parts if part.scale is not None]
        return self.normalized(layer, Value(out, sum(scales[1:], scales[0]) if scales else None))

    def looked_up(self, number: int) -> Value:
        """A dense sum over complete binary indicators: selects weights without arithmetic."""
        operands = self.plan.layers[number].operands[0]
        ones = value_of(self.values, operands.sources[0].layer).x[:, 1].bool()
        if operands.start is None:
            ones = ones.index_select(0, self.indexed.index[number, 0, 0][0])
        else:
            ones = ones[operands.start : operands.start + operands.rows]
        weight = self.weights[number]
        x = self.lease.take((*weight.shape[:2], ones.shape[-1]))
        return Value(
            torch.where(ones.unsqueeze(1), weight[:, :, 1:], weight[:, :, :1], out=x), None
        )

    def plain_sum(self, number: int) -> Value:
        layer = self.plan.layers[number].operands[0]
        if self.complete and self.indexed.lookup[number] and layer.units == 2:
            return self.looked_up(number)
        value = self.fetch(number, 0)
        weight = self.weights[number]
        x = self.lease.take((*weight.shape[:2], value.x.shape[-1]))
        torch.bmm(weight, value.x[0], out=x)
        if self.plan.layers[number].operands[0].start is None:  # gathered: keep it or release it
            if self.keep and not self.indexed.lookup[number]:
                self.saved[number] = (value.x[0],)
            else:
                self.lease.give_back(value.x)
        return Value(x, None if value.scale is None else value.scale[0])

    def log_operands(self, number: int) -> Tensor:
        """All operands of a dense sum next to each other as logs, shape (rows, fan-in, batch)."""
        parts = self.plan.layers[number].operands
        columns = [c for p in range(len(parts)) for c in self.operand(number, p, Form.LOG).x]
        return columns[0] if len(columns) == 1 else torch.cat(columns, dim=1)

    def shifted_sum(self, number: int, layer: Layer) -> Value:
        logs, weight = self.log_operands(number), self.weights[number]
        if layer.units == 1:  # weights are added before the maximum: exact for any weight
            logs = logs + weight.log().transpose(1, 2)
        top = finite(logs.amax(1, keepdim=True))
        shifted = (logs - top).exp_()
        out = shifted.sum(1, keepdim=True) if layer.units == 1 else torch.bmm(weight, shifted)
        if self.keep:
            self.saved[number] = (shifted, out)
        if layer.form == Form.LINEAR:
            return Value(out, top.squeeze(1).double())
        return Value(out.log() + top, None)

    def mixture(self, number: int) -> Value:
        logs = self.operand(number, 0, Form.LOG).x  # (arity, rows, units, batch)
        logs = logs + self.weights[number].log().permute(2, 0, 1).unsqueeze(-1)
        top = finite(logs.amax(0))
        shifted = (logs - top).exp_()
        out = shifted.sum(0)
        if self.keep:
            self.saved[number] = (shifted, out)
        return Value(out.log() + top, None)


def _combine(operands: Tensor, form: Form, out: Tensor) -> None:
    """Products of operands, shape (arity, rows, units, batch); in log form they are added."""
    if len(operands) == 1:
        out.copy_(operands[0])
        return
    if form == Form.LOG and len(operands) > FEW_OPERANDS:
        out.copy_(add_up(operands))
        return
    combine = torch.mul if form == Form.LINEAR else torch.add
    combine(operands[0], operands[1], out=out)
    for operand in operands[2:]:
        combine(out, operand, out=out)
