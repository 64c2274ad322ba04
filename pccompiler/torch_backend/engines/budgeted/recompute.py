"""Gradients in little memory: segments of a plan are evaluated again on the way down.

The HyperSPN paper names this as future work. Weights are generated layer by layer in both
directions, and their gradients are passed to the parameters at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.layers import Form
from pccompiler.passes.lowering.segments import Segments
from pccompiler.torch_backend.engines.budgeted.streaming import LazyInputs, LazyWeights, Streamed
from pccompiler.torch_backend.engines.layered.backward import Backward
from pccompiler.torch_backend.engines.layered.operands import Indexed
from pccompiler.torch_backend.values import value_of


class Recomputing(Streamed):
    """A forward pass that keeps the values outside of segments, and their last layers."""

    def __init__(
        self, indexed: Indexed, inputs: LazyInputs, weights: LazyWeights, cut: Segments
    ) -> None:
        super().__init__(indexed, inputs, weights)
        self.ends = {last: first for first, last in cut.runs}
        self.inside = {n for first, last in cut.runs for n in range(first, last)}

    def run(self) -> Tensor:
        """Log-likelihood of each row, shape ``(batch,)``."""
        for number, layer in enumerate(self.plan.layers):
            self.keep = number not in self.inside and number not in self.ends
            self.values[number] = self.evaluate(number, layer)
            for below in set(layer.below):
                if below in self.inside and self.plan.last_use[below] == number:
                    self.values[below] = None
        return self.root()

    def again(self, last: int) -> None:
        """Evaluate the segment that ends in layer ``last``, and keep it."""
        self.keep = True
        for number in range(self.ends[last], last + 1):
            self.values[number] = self.evaluate(number, self.plan.layers[number])

    def drop(self, number: int) -> None:
        """Forget a layer that the way down has passed."""
        self.values[number] = None
        self.saved.pop(number, None)


class Down(Backward):
    """The way down; gradients of weights are passed to the parameters layer by layer."""

    forward: Recomputing

    def __init__(self, forward: Recomputing, totals: dict[str, Tensor]) -> None:
        super().__init__(forward)
        self.totals = totals
        self.slope = torch.zeros_like(forward.inputs.x)

    def descend(self, grad: Tensor) -> None:
        """Add the gradients of all parameters to the totals."""
        root = value_of(self.values, -1)
        top = grad.reshape(1, 1, -1)
        self.grads[-1] = top.clone() if self.plan.layers[-1].form == Form.LOG else top / root.x
        for number in reversed(range(len(self.plan.layers))):
            here = self.grads[number]
            self.grads[number] = None
            if number in self.forward.ends:
                self.forward.again(number)
            if here is not None:
                self.propagate(number, self.plan.layers[number], here)
                self.settle(number)
            self.forward.drop(number)

    def settle(self, number: int) -> None:
        """Pass the layer's gradient on to the parameters of its weights, or to the data."""
        layer = self.plan.layers[number]
        grad = self.weight_grads.pop(number, None)
        of_density = grad is None and layer.kind == Kind.INPUT
        if of_density:
            grad = self.input_grads.pop(number, None)
        if grad is None or number not in self.lazy.place:
            return
        name, rows = self.lazy.source(number)
        values = self.lazy.own.values
        raw = values[name].detach()[rows].requires_grad_()
        shared = self.lazy.own.layout.shared if name == self.plan.generator.table else ()
        x = self.forward.inputs.x
        with torch.enable_grad():
            made = self.lazy.made(number, raw)
            if of_density:
                made = self.forward.inputs.density(number, made)
            wanted = [t for t in (raw, x, *(values[n] for n in shared)) if t.requires_grad]
            found = torch.autograd.grad(made, wanted, grad, allow_unused=True)
        by_tensor = dict(zip(map(id, wanted), found, strict=True))
        self._add(name, rows, by_tensor[id(raw)])
        slope = by_tensor.get(id(x))
        if slope is not None:
            self.slope += slope
        for other in shared:
            more = by_tensor.get(id(values[other]))
            if more is not None:
                self.totals[other] += more

    def _add(self, name: str, rows: Tensor | slice, more: Tensor | None) -> None:
        if more is None:
            return
        if isinstance(rows, slice):
            self.totals[name][rows] += more
        else:
            self.totals[name].index_add_(0, rows, more)

    @property
    def lazy(self) -> LazyWeights:
        """The weights of the forward pass."""
        return self.forward.lazy


def recomputed_gradients(
    indexed: Indexed,
    inputs: LazyInputs,
    weights: LazyWeights,
    cut: Segments,
    grad: Tensor,
    totals: dict[str, Tensor],
) -> Tensor:
    """Add the parameter gradients of some rows to ``totals``, by name.

    Args:
        indexed: A plan in blocks, without lookups.
        inputs: Rows of data.
        weights: The parameters.
        cut: The segments to evaluate again.
        grad: Shape ``(batch,)``, the derivative with respect to each row's log-likelihood.
        totals: Parameter name to its gradient so far.

    Returns:
        The gradient of the rows, zeros unless they require one.
    """
    with torch.no_grad():
        forward = Recomputing(indexed, inputs, weights, cut)
        forward.run()
        down = Down(forward, totals)
        down.descend(grad)
    return down.slope
