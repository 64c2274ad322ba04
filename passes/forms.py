"""The range pass: where a linear value provably neither underflows nor overflows.

The weight floor bounds every sum from below: a sum over inputs whose largest unit is at least
``peak`` is at least ``floor * peak``. A product of such sums stays above the product of their
bounds, and after division by its largest unit its peak is 1 again. Where the bound would fall below
the smallest normal number of the precision, the layer works in log form.
"""

from __future__ import annotations

from dataclasses import replace

from pccompiler.ir import Family, Kind
from pccompiler.ir.plan import Form, Layer, WeightGroup


def choose_forms(
    layers: list[Layer],
    groups: tuple[WeightGroup, ...],
    floor: float,
    smallest: float,
    log_only: bool,
) -> tuple[Layer, ...]:
    """Set ``form``, ``normalize``, ``shift``, ``lowest`` and ``peak`` of each layer, bottom up."""
    done: list[Layer] = []
    for layer in layers:
        below = [done[i] for i in layer.below]
        if layer.kind == Kind.INPUT:
            layer = _input(layer, floor, groups)
        elif layer.kind == Kind.SUM:
            layer = _sum(layer, below, _weight_bound(floor, groups[layer.group]), smallest)
        elif layer.kind != Kind.MIXTURE:
            layer = _product(layer, below, floor, smallest)
        if log_only and layer.family != Family.INDICATOR:
            layer = replace(layer, form=Form.LOG, normalize=False, shift=layer.kind == Kind.SUM)
        done.append(layer)
    return tuple(done)


def _weight_bound(floor: float, group: WeightGroup) -> float:
    return floor / (1.0 + group.columns * floor)


def _input(layer: Layer, floor: float, groups: tuple[WeightGroup, ...]) -> Layer:
    if layer.family == Family.INDICATOR:
        return replace(layer, form=Form.LINEAR, lowest=0.0, peak=1.0)
    if layer.family == Family.GAUSSIAN or floor == 0.0:
        return replace(layer, form=Form.LOG)
    states = 2 if layer.family == Family.BERNOULLI else groups[layer.group].columns
    bound = floor / (1.0 + states * floor)
    return replace(layer, form=Form.LINEAR, lowest=bound, peak=bound)


def _sum(layer: Layer, below: list[Layer], bound: float, smallest: float) -> Layer:
    one = len(layer.operands) == 1 and layer.operands[0].arity == 1
    if one and all(b.form == Form.LINEAR for b in below):
        lowest = bound * min(b.peak for b in below)
        if lowest**3 >= smallest:
            return replace(layer, form=Form.LINEAR, lowest=lowest, peak=lowest)
    if bound > 0.0 and layer.units > 1:
        return replace(layer, form=Form.LINEAR, shift=True, lowest=bound, peak=bound)
    return replace(layer, form=Form.LOG, shift=True)


def _product(layer: Layer, below: list[Layer], floor: float, smallest: float) -> Layer:
    elementwise = layer.kind == Kind.PRODUCT
    arity = max(o.arity for o in layer.operands) if elementwise else len(layer.operands)
    linear = all(b.form == Form.LINEAR and b.lowest > 0.0 for b in below)
    lowest = min((b.lowest for b in below), default=0.0) ** arity
    if not linear or lowest < smallest:
        return replace(layer, form=Form.LOG)
    normalize = (floor * lowest) ** 3 < smallest
    return replace(
        layer,
        form=Form.LINEAR,
        lowest=lowest,
        peak=1.0 if normalize else lowest,
        normalize=normalize,
    )
