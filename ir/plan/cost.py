"""Parameters, FLOPs and bytes of a plan."""

from __future__ import annotations

from dataclasses import dataclass

from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.plan.layers import Layer


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The counted cost of one evaluation.

    Attributes:
        flops: Multiplications and additions of sums and products; exp and log count as one each.
        bytes: Bytes of layer values written and read, at 4 bytes per number.
        peak_values: The most numbers alive at once if layers are freed after their last use.
        all_values: Numbers of all layer values, kept alive for a backward pass.
    """

    flops: int
    bytes: int
    peak_values: int
    all_values: int


def flops_of(layer: Layer) -> int:
    """Floating-point operations of a layer for one row of data."""
    if layer.kind in PRODUCTS:
        reads = sum(o.rows * o.arity for o in layer.operands)
        return layer.units * (reads + 2 * layer.rows * layer.normalize)
    if layer.ragged:
        return 2 * sum(o.rows * o.arity for o in layer.operands)
    if layer.kind == Kind.SUM:
        return layer.rows * layer.units * 2 * layer.fan_in
    arity = sum(o.arity for o in layer.operands)
    return layer.rows * layer.units * (2 * arity if layer.kind == Kind.MIXTURE else 1)
