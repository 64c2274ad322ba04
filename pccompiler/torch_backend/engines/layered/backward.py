"""The top-down pass: gradients by flows.

Written out rather than recorded. For a product p with operand a, dL/da = (p dL/dp) / a: it needs no
other operand, and cannot overflow if the plan proves a lower bound on a. Scales are constants in
the backward pass: the result depends only on x exp(s), so their gradients cancel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.plan.layers import Form, Layer, Operands
from pccompiler.torch_backend.engines.layered.forward import Forward
from pccompiler.torch_backend.leaves.lookup import table_gradient
from pccompiler.torch_backend.values import Value, safe_div, value_of


class Backward:
    """One top-down pass over a forward evaluation that kept its values."""

    def __init__(self, forward: Forward) -> None:
        self.forward = forward
        self.indexed, self.plan, self.values = forward.indexed, forward.plan, forward.values
        self.lease = forward.lease
        self.grads: list[Tensor | None] = [None] * len(self.values)
        self.weight_grads: dict[int, Tensor] = {}
        self.input_grads: dict[int, Tensor] = {}
        self.states: dict[int, Tensor] = {}

    def run(self, grad: Tensor) -> tuple[list[Tensor | None], list[Tensor | None]]:
        root = value_of(self.values, -1)
        top = grad.reshape(1, 1, -1)
        is_log = self.plan.layers[-1].form == Form.LOG
        self.grads[-1] = top.clone() if is_log else safe_div(top, root.x)
        return self.below(len(self.plan.layers))

    def below(self, stop: int) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """Pass the gradients of layers before ``stop`` on; those of inputs and weights."""
        for number in reversed(range(stop)):
            grad_here = self.grads[number]
            self.grads[number] = None
            if grad_here is not None:
                self.propagate(number, self.plan.layers[number], grad_here)
                self.lease.give_back(grad_here)
            elif self.indexed.lookup[number]:
                self.weight_grads[number] /= self.forward.weights[number]
        return (
            [self.input_grads.get(n) for n in self.forward.inputs],
            [self.weight_grads.get(n) for n in self.forward.weights],
        )

    def propagate(self, number: int, layer: Layer, grad: Tensor) -> None:
        if layer.kind == Kind.INPUT:
            self.input(number, layer, grad)
        elif layer.kind == Kind.PRODUCT:
            self.product(number, layer, grad)
        elif layer.kind in PRODUCTS:
            self.crossed(number, layer, grad)
        elif layer.kind == Kind.MIXTURE:
            self.mixture(number, grad)
        elif layer.shift:
            self.shifted_sum(number, layer, grad)
        else:
            self.plain_sum(number, grad)

    def input(self, number: int, layer: Layer, grad: Tensor) -> None:
        if not layer.tabular:
            self.input_grads[number] = grad.clone()  # the buffer itself goes back to the pool
        elif number in self.forward.weights:
            states = self.forward.inputs[number]
            if not states.is_floating_point():
                table, log = self.forward.weights[number], layer.form == Form.LOG
                self.weight_grads[number] = table_gradient(table, states, grad, log=log)
                return
            if layer.form == Form.LOG:
                grad = safe_div(grad, self.forward.saved[number][0])
            self.weight_grads[number] = torch.bmm(grad, states.transpose(1, 2))

    def product(self, number: int, layer: Layer, grad: Tensor) -> None:
        """Distribute the layer's flows among its operands."""
        flow = grad.mul_(value_of(self.values, number).x) if layer.form == Form.LINEAR else grad
        start = 0
        for part, operands in enumerate(layer.operands):
            piece = flow[start : start + operands.rows].unsqueeze(0)
            self.deliver(number, part, piece, layer.form)
            start += operands.rows

    def deliver(self, number: int, part: int, flow: Tensor, form: Form) -> None:
        """Turn flows into operand gradients: dL/dx = flow / x for linear x, flow for logarithms."""
        operands = self.plan.layers[number].operands[part]
        forms = {self.plan.layers[s.layer].form for s in operands.sources}
        if not any(self.indexed.wants(s.layer) for s in operands.sources):
            return
        if self.indexed.lookup[operands.sources[0].layer]:
            self.count_states(operands.sources[0].layer, operands, flow[0])
            return
        shape = (operands.arity, *flow.shape[1:])
        if forms == {Form.LOG}:
            self.scatter(number, part, flow.expand(shape))
            return
        if forms == {Form.LINEAR}:
            x = self.indexed.fetch(number, part, self.values, self.lease).x
            target = self.target(number, part)
            grad = self.divide(flow, x, target)
            if form == Form.LOG:  # a linear operand can be 0 here
                grad.masked_fill_(x == 0, 0.0)
            if target is None:
                self.scatter(number, part, grad)
            return
        ones: list[Value | None] = [None] * len(self.values)  # mixed: divide by 1 for logs
        for source in operands.sources:
            below = value_of(self.values, source.layer).x
            linear = self.plan.layers[source.layer].form == Form.LINEAR
            ones[source.layer] = Value(below if linear else torch.ones_like(below), None)
        x = self.indexed.fetch(number, part, ones, self.lease).x
        self.scatter(number, part, safe_div(flow.expand(shape), x))

    def divide(self, flow: Tensor, x: Tensor, target: Tensor | None) -> Tensor:
        """``flow / x``, into ``target``; operand by operand, since CUDA broadcasts slowly."""
        if target is None or flow.device.type == "cpu" or len(flow) == len(x):
            return torch.div(flow, x, out=target)
        for operand, out in zip(x, target, strict=True):
            torch.div(flow[0], operand, out=out)
        return target

    def count_states(self, below: int, operands: Operands, flow: Tensor) -> None:
        """Sum flows by state, shape (rows, units, states): weight times weight gradient.

        A missing value adds nothing: its sum is 1 whatever the weights.
        """
        weight = self.forward.weights[below]
        if below not in self.weight_grads:
            self.weight_grads[below] = torch.empty_like(weight)
            self.states[below] = self.observed(below)
        states = self.states[below].transpose(1, 2)
        for operand in range(operands.arity):
            first = (operands.start or 0) + operand * operands.rows
            rows = slice(first, first + operands.rows)
            torch.bmm(flow, states[rows], out=self.weight_grads[below][rows])

    def observed(self, number: int) -> Tensor:
        """One-hot states of the inputs of sum layer ``number``, all zeros where missing."""
        operands = self.plan.layers[number].operands[0]
        seen = [value_of(self.values, source.layer).x for source in operands.sources]
        if not self.forward.complete:
            seen = [x * (x.sum(1, keepdim=True) == 1) for x in seen]
        if operands.start is not None:
            return seen[0][operands.start : operands.start + operands.rows]
        return self.indexed.gather(number, 0, seen, self.lease)

    def target(self, number: int, part: int) -> Tensor | None:
        """The slice of the gradient buffer that only this operand writes, or ``None``."""
        operands = self.plan.layers[number].operands[part]
        below = operands.sources[0].layer
        if operands.start is None or not self.indexed.once[below]:
            return None
        stop = operands.start + operands.arity * operands.rows
        piece: Tensor = self.buffer(below)[operands.start : stop]
        return piece.view(operands.arity, operands.rows, *piece.shape[1:])

    def buffer(self, layer: int) -> Tensor:
        """A buffer for the layer's gradient: zeros, unless each row is read, so written, once."""
        buffer = self.grads[layer]
        if buffer is None:
            buffer = self.lease.take(value_of(self.values, layer).x.shape)
            self.grads[layer] = buffer if self.indexed.once[layer] else buffer.zero_()
        return buffer

    def scatter(self, number: int, part: int, grad: Tensor) -> None:
        """Add ``grad``, shape (arity, rows, units, batch), to the operands' gradients."""
        operands = self.plan.layers[number].operands[part]
        flat = grad.flatten(0, 1)
        for place, source in enumerate(operands.sources):
            if not self.indexed.wants(source.layer):
                continue
            buffer, once = self.buffer(source.layer), self.indexed.once[source.layer]
            if operands.start is not None:
                to = buffer[operands.start : operands.start + len(flat)]
                to.copy_(flat) if once else to.add_(flat)
                continue
            rows, positions = self.indexed.index[number, part, place]
            span = self.indexed.spans[number, part, place]
            if once and span is not None and len(operands.sources) > 1:
                torch.index_select(flat, 0, positions, out=buffer[span])
                continue
            piece = flat if len(operands.sources) == 1 else flat.index_select(0, positions)
            (buffer.index_copy_ if once else buffer.index_add_)(0, rows, piece)

    def crossed(self, number: int, layer: Layer, grad: Tensor) -> None:
        """Each operand's units get the flows of the product's units that read them."""
        if layer.form == Form.LINEAR:
            grad = grad * value_of(self.values, number).x
        widths, places = [o.units for o in layer.operands], self.indexed.places.get(number)
        for part, width in enumerate(widths):
            others = [1 + other for other in range(len(widths)) if other != part]
            if places is not None:
                own = grad.new_zeros(len(grad), width, grad.shape[-1])
                own.index_add_(1, places[part], grad)
            else:
                own = grad.unflatten(1, widths).sum(others) if others else grad
            self.deliver(number, part, own.unsqueeze(0), layer.form)

    def plain_sum(self, number: int, grad: Tensor) -> None:
        saved = self.forward.saved.get(number)
        operand = saved[0] if saved else self.forward.fetch(number, 0).x[0]
        self.weight_grads[number] = torch.bmm(grad, operand.transpose(1, 2))
        source = self.plan.layers[number].operands[0].sources
        if not any(self.indexed.wants(s.layer) for s in source):
            return
        weight = self.forward.weights[number].transpose(1, 2).contiguous()  # twice as fast on CUDA
        target = self.target(number, 0)
        if target is not None:
            torch.bmm(weight, grad, out=target[0])
        else:
            below = torch.bmm(weight, grad).unsqueeze(0)
            self.scatter(number, 0, below)

    def shifted_sum(self, number: int, layer: Layer, grad: Tensor) -> None:
        shifted, out = self.forward.saved[number]
        weight = self.forward.weights[number]
        if layer.form == Form.LOG:
            grad = safe_div(grad, out)
        if layer.units == 1:
            flow = grad * shifted
            total = flow.sum(-1).unsqueeze(1)
            self.weight_grads[number] = safe_div(total, weight)
        else:
            self.weight_grads[number] = torch.bmm(grad, shifted.transpose(1, 2))
            flow = torch.bmm(weight.transpose(1, 2), grad).mul_(shifted)
        self.split(number, layer, flow)

    def split(self, number: int, layer: Layer, flow: Tensor) -> None:
        """Pass the flows of a dense sum's inputs, shape (rows, fan-in, batch), to its operands."""
        start = 0
        for part, operands in enumerate(layer.operands):
            width = operands.arity * operands.units
            piece = flow[:, start : start + width].unflatten(1, (operands.arity, operands.units))
            self.deliver(number, part, piece.transpose(0, 1), Form.LOG)
            start += width

    def mixture(self, number: int, grad: Tensor) -> None:
        shifted, out = self.forward.saved[number]
        flow = shifted * safe_div(grad, out)
        total = flow.sum(-1).permute(1, 2, 0)
        self.weight_grads[number] = safe_div(total, self.forward.weights[number])
        self.deliver(number, 0, flow, Form.LOG)
