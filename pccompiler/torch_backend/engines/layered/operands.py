"""Locates the operands of each layer, on one device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.arrays import Int
from pccompiler.ir.families import Family
from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.plan.layers import Form, Operands
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.layered.pool import Lease, Pool
from pccompiler.torch_backend.values import Value, unit_places, value_of


class Indexed:
    """A plan's index tensors on one device, and the buffers that its evaluations share.

    Args:
        plan: A plan that is not packed.
        device: Device of the index tensors.
        lookups: Whether gradients of sums over indicators may be counted by state, which needs all
            readers of a layer at once.
    """

    def __init__(self, plan: Plan, device: torch.device, *, lookups: bool = True) -> None:
        self.plan, self.device, self.pool = plan, device, Pool()
        self.index: dict[tuple[int, int, int], tuple[Tensor, Tensor]] = {}
        self.spans: dict[tuple[int, int, int], slice | None] = {}
        for number, layer in enumerate(plan.layers):
            for part, operands in enumerate(layer.operands):
                if operands.start is None:
                    self._place(number, part, operands)
        self.places = {
            number: unit_places(layer, device)
            for number, layer in enumerate(plan.layers)
            if layer.kind in PRODUCTS and layer.kind not in (Kind.PRODUCT, Kind.KRONECKER)
        }
        self.once = _once(plan)
        self.lookup = _lookups(plan, self.once) if lookups else [False] * len(plan.layers)

    def _place(self, number: int, part: int, operands: Operands) -> None:
        for place, source in enumerate(operands.sources):
            self.index[number, part, place] = (
                torch.from_numpy(source.rows.copy()).to(self.device),
                torch.from_numpy(source.positions.copy()).to(self.device),
            )
            self.spans[number, part, place] = _span(source.rows)

    def fetch(self, number: int, part: int, values: list[Value | None], lease: Lease) -> Value:
        """Operand values, x of shape (arity, rows, units, batch), scale (arity, rows, batch)."""
        operands = self.plan.layers[number].operands[part]
        shape = (operands.arity, operands.rows)
        if operands.start is not None:
            x, scale = value_of(values, operands.sources[0].layer)
            stop = operands.start + operands.arity * operands.rows
            x = x[operands.start : stop].unflatten(0, shape)
            return Value(
                x, None if scale is None else scale[operands.start : stop].unflatten(0, shape)
            )
        x = self.gather(
            number, part, [value_of(values, s.layer).x for s in operands.sources], lease
        )
        scales = [value_of(values, s.layer).scale for s in operands.sources]
        if all(scale is None for scale in scales):
            return Value(x.unflatten(0, shape), None)
        zero = x.new_zeros(1, dtype=torch.float64)
        full = [
            zero.expand(value_of(values, s.layer).x.shape[::2]) if scale is None else scale
            for s, scale in zip(operands.sources, scales, strict=True)
        ]
        gathered = self.gather(number, part, full, lease)
        return Value(x.unflatten(0, shape), gathered.unflatten(0, shape))

    def gather(self, number: int, part: int, tensors: list[Tensor], lease: Lease) -> Tensor:
        """The operands' rows from the sources' ``tensors``, shape (arity * rows, ...)."""
        total = sum(len(self.index[number, part, place][0]) for place in range(len(tensors)))
        shape = (total, *tensors[0].shape[1:])
        same = tensors[0].dtype == lease.like.dtype  # scales are float64
        out = lease.take(shape) if same else tensors[0].new_empty(shape)
        if len(tensors) == 1:
            rows, _ = self.index[number, part, 0]  # positions are 0, 1, 2, ...
            return torch.index_select(tensors[0], 0, rows, out=out)
        for place, tensor in enumerate(tensors):
            rows, positions = self.index[number, part, place]
            span = self.spans[number, part, place]
            piece = tensor.index_select(0, rows) if span is None else tensor[span]
            out.index_copy_(0, positions, piece)
        return out

    def wants(self, layer: int) -> bool:
        """Whether the layer's gradient is needed: indicators have no parameters."""
        return self.plan.layers[layer].family != Family.INDICATOR


def _span(rows: Int) -> slice | None:
    """The slice of consecutive ascending rows, if they form one."""
    if len(rows) == 0 or (np.diff(rows) != 1).any():
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1)


def _once(plan: Plan) -> list[bool]:
    """Whether each row of a layer is read exactly once."""
    reads = [np.zeros(layer.rows, np.int64) for layer in plan.layers]
    for layer in plan.layers:
        for operands in layer.operands:
            for source in operands.sources:
                reads[source.layer] += np.bincount(source.rows, minlength=len(reads[source.layer]))
    return [bool((counts == 1).all()) for counts in reads]


def _lookups(plan: Plan, once: list[bool]) -> list[bool]:
    """Whether a layer is a dense sum over indicators read only by linear elementwise products.

    The value of unit u is then a weight, w[u, state], and flows sum to weight gradients by state:
    the backward pass needs no gradient of the layer's value.
    """
    views = [True] * len(plan.layers)
    for layer in plan.layers:
        for operands in layer.operands:
            for source in operands.sources:
                views[source.layer] &= operands.start is not None
    lookup = [
        once[number]
        and views[number]
        and layer.kind == Kind.SUM
        and not layer.shift
        and all(plan.layers[below].family == Family.INDICATOR for below in layer.below)
        for number, layer in enumerate(plan.layers)
    ]
    for layer in plan.layers:
        if layer.kind != Kind.PRODUCT or layer.form != Form.LINEAR:
            for below in layer.below:
                lookup[below] = False
    lookup[-1] = False
    return lookup
