"""Several tensors as one, and back."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan


def by_layer(plan: Plan, flat: Tensor, rows: int) -> dict[int, Tensor]:
    """Views of the flows of all leaf units, by input layer, shape (rows, units, batch)."""
    inputs = {n: layer for n, layer in enumerate(plan.layers) if layer.kind == Kind.INPUT}
    shapes = [(layer.rows, layer.units, rows) for layer in inputs.values()]
    return dict(zip(inputs, split_into(flat, shapes), strict=True))


def split_into(flat: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Views of consecutive pieces of a flat tensor."""
    pieces = flat.view(-1).split([prod(shape) for shape in shapes])
    return [piece.view(*shape) for piece, shape in zip(pieces, shapes, strict=True)]
