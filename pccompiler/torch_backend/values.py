"""Layer values and the few formulas that both directions use."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pccompiler.ir.kinds import PRODUCTS
from pccompiler.ir.plan.layers import Layer


class Value(NamedTuple):
    """A layer's value, see `pccompiler.ir.plan.layers.Form`; a ``scale`` of ``None`` stands for 0.

    Scales are float64: along a deep circuit many small steps add up to large numbers.
    """

    x: Tensor
    scale: Tensor | None


def value_of(values: list[Value | None], layer: int) -> Value:
    """The value of ``layer``, which must still be there."""
    value = values[layer]
    if value is None:
        raise RuntimeError(f"layer {layer} was dropped before its last use")
    return value


def to_log(value: Value) -> Tensor:
    """A linear value in log form."""
    out = value.x.log()
    return out if value.scale is None else out.add_(value.scale.unsqueeze(-2))


def safe_div(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, or 0 if the denominator is 0: no flow passes through a zero."""
    out = numerator / denominator
    return out.masked_fill_(denominator == 0, 0.0)


def finite(top: Tensor) -> Tensor:
    """A maximum that can be subtracted: -inf is replaced by 0."""
    return top.masked_fill(top == -torch.inf, 0.0)


def has_table(layer: Layer) -> bool:
    """Whether the layer multiplies states or operands by a weight tensor."""
    weighted = layer.group >= 0 or layer.ragged
    return weighted and (layer.family is None or layer.tabular)


def safe_log(values: Tensor) -> Tensor:
    """Logarithms; -inf at 0, with gradient 0."""
    zero = values <= 0.0
    return values.masked_fill(zero, 1.0).log().masked_fill(zero, -torch.inf)


def unit_places(layer: Layer, device: torch.device) -> list[Tensor]:
    """Of a product that is not elementwise: for each operand, the unit that each unit reads."""
    places = PRODUCTS[layer.kind].places([operands.units for operands in layer.operands])
    return [torch.from_numpy(place.copy()).to(device) for place in places.T]


def top_of(terms: Tensor, dim: int) -> Tensor:
    """The largest term along ``dim``, which is kept; without gradient.

    It is finite, so that it can be subtracted: instead of -inf the lowest finite number.
    """
    return terms.detach().amax(dim, keepdim=True).clamp_min(torch.finfo(terms.dtype).min)


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """The quotient; 0, with gradient 0, if the whole is 0."""
    zero = whole <= 0.0
    return (part / whole.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)


def surprise(shares: Tensor) -> Tensor:
    """``-r log r`` of shares r; 0, with gradient 0, at 0."""
    positive = shares.masked_fill(shares <= 0.0, 1.0)
    return -positive * positive.log()


def draw_states(table: Tensor, unit: Tensor, generator: torch.Generator | None) -> Tensor:
    """A state of one unit of each row, drawn in proportion to its masses.

    The cumulative masses of all units, each plus the unit's number, are one ascending list, in
    which the number plus a random part is looked up.

    Args:
        table: Masses, shape (rows, units, states).
        unit: Shape (rows, batch).
        generator: Random numbers.

    Returns:
        Shape (rows, batch).
    """
    rows, units, states = table.shape
    below = table.double().cumsum(2)
    below /= below[:, :, -1:].clone().clamp_min_(torch.finfo(below.dtype).tiny)
    starts = torch.arange(rows * units, device=table.device).view(rows, units, 1)
    number = unit + starts[:, :1, 0]
    part = torch.rand(unit.shape, generator=generator, dtype=below.dtype, device=table.device)
    whole = number.to(below.dtype)
    sought = torch.minimum(whole + part, torch.nextafter(whole + 1.0, whole))
    place = torch.searchsorted((below + starts).flatten(), sought, right=True)
    return (place - number * states).clamp_(0, states - 1)


def draw_state(masses: Tensor, generator: torch.Generator | None) -> Tensor:
    """An index along the last dimension, drawn in proportion to ``masses``."""
    noise = torch.empty_like(masses).exponential_(generator=generator)
    return (masses / noise.clamp_min_(torch.finfo(masses.dtype).tiny)).argmax(-1)
