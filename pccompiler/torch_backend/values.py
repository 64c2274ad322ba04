"""Layer values and the few formulas that both directions share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pccompiler.ir.kinds import TABLES
from pccompiler.ir.plan import Layer


class Value(NamedTuple):
    """A layer's value: see `pccompiler.ir.plan.Form`. ``scale`` is ``None`` where it is 0.

    Scales are float64: along a deep circuit they add up to large numbers, step by small step.
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
    """The quotient, and 0 where the denominator is 0: no flow passes through a zero."""
    out = numerator / denominator
    return out.masked_fill_(denominator == 0, 0.0)


def safe_log(x: Tensor) -> Tensor:
    """The logarithm, -inf of 0; no derivative of any order passes through a zero."""
    zero = x == 0.0
    return x.masked_fill(zero, 1.0).log().masked_fill(zero, -torch.inf)


def finite(top: Tensor) -> Tensor:
    """A maximum that can be subtracted: -inf becomes 0."""
    return top.masked_fill(top == -torch.inf, 0.0)


def has_table(layer: Layer) -> bool:
    """Whether the layer multiplies states or operands by a weight tensor."""
    weighted = layer.group >= 0 or layer.ragged
    return weighted and (layer.family is None or layer.family in TABLES)
