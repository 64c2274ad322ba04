"""Range analysis: where linear values provably neither underflow nor overflow.

The weight floor bounds every sum from below: a sum over inputs whose largest unit is at least
``peak`` is at least ``floor * peak``. A product of such sums stays above the product of their
bounds, and after division by its largest unit its peak is 1 again. A layer works in log form if
the bound would fall below the smallest normal number of the precision, or if no bound holds
because all units of an input may be zero at once, like those of a product of indicators.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pccompiler.ir import Family, Kind
from pccompiler.ir.plan.layers import Form, Layer, WeightGroup


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
        columns = _columns(layer, done)
        if layer.kind == Kind.INPUT:
            layer = _input(layer, floor, groups)
        elif layer.kind == Kind.SUM and not layer.ragged:
            layer = _sum(layer, columns, _weight_bound(floor, groups[layer.group]), smallest)
        elif layer.ragged:
            some = floor > 0.0 and all(_some(column) for column in columns)
            layer = _marked(layer, some, some)
        elif layer.kind == Kind.MIXTURE:
            layer = _marked(
                layer,
                floor > 0.0 and any(_every(column) for column in columns),
                floor > 0.0 and any(_some(column) for column in columns),
            )
        else:
            layer = _product(layer, columns, floor, smallest)
        if log_only and layer.family != Family.INDICATOR:
            layer = replace(layer, form=Form.LOG, normalize=False, shift=_is_dense(layer))
        done.append(layer)
    return tuple(done)


def _is_dense(layer: Layer) -> bool:
    return layer.kind == Kind.SUM and not layer.ragged


Column = list[Layer]
"""The layers that one operand of the rows may come from."""


def _columns(layer: Layer, done: list[Layer]) -> list[Column]:
    """One column per operand; for elementwise products, one arity after the other."""
    columns: list[Column] = []
    for operands in layer.operands:
        places: list[Column] = [[] for _ in range(operands.arity)]
        for source in operands.sources:
            for place in np.unique(source.positions // operands.rows).tolist():
                places[place].append(done[source.layer])
        columns += places
    return columns


def _every(column: Column) -> bool:
    """Whether every unit of the operand is above zero."""
    return all(layer.lowest > 0.0 for layer in column)


def _some(column: Column) -> bool:
    """Whether some unit of the operand is above zero."""
    return all(layer.peak > 0.0 for layer in column)


def _marked(layer: Layer, every: bool, some: bool) -> Layer:
    """The layer in log form; its bounds only say whether units are above zero."""
    return replace(layer, form=Form.LOG, lowest=float(every), peak=float(some))


def _weight_bound(floor: float, group: WeightGroup) -> float:
    return floor / (1.0 + group.columns * floor)


def _input(layer: Layer, floor: float, groups: tuple[WeightGroup, ...]) -> Layer:
    if layer.family == Family.INDICATOR:
        return replace(layer, form=Form.LINEAR, lowest=0.0, peak=1.0)
    if not layer.tabular:  # where densities are not 0, backends keep logarithms finite
        positive = layer.family is not None and layer.family.everywhere
        return _marked(layer, every=positive, some=positive)
    if floor == 0.0:
        return _marked(layer, every=False, some=False)
    bound = floor / (1.0 + groups[layer.group].states * floor)
    return replace(layer, form=Form.LINEAR, lowest=bound, peak=bound)


def _sum(layer: Layer, columns: list[Column], bound: float, smallest: float) -> Layer:
    below = [source for column in columns for source in column]
    if len(columns) == 1 and all(b.form == Form.LINEAR for b in below):
        lowest = bound * min(b.peak for b in below)
        if lowest**3 >= smallest:
            return replace(layer, form=Form.LINEAR, lowest=lowest, peak=lowest)
    positive = bound > 0.0 and any(_some(column) for column in columns)
    if positive and layer.units > 1:
        return replace(layer, form=Form.LINEAR, shift=True, lowest=bound, peak=bound)
    return replace(_marked(layer, positive, positive), shift=True)


def _product(layer: Layer, columns: list[Column], floor: float, smallest: float) -> Layer:
    elementwise = layer.kind == Kind.PRODUCT
    arity = max(o.arity for o in layer.operands) if elementwise else len(layer.operands)
    below = [source for column in columns for source in column]
    lowest = min((b.lowest for b in below), default=0.0) ** arity
    if any(b.form == Form.LOG for b in below) or lowest < smallest:
        every = all(_every(column) for column in columns)
        return _marked(layer, every, every or _some_product(layer, columns))
    normalize = (floor * lowest) ** 3 < smallest
    return replace(
        layer,
        form=Form.LINEAR,
        lowest=lowest,
        peak=1.0 if normalize else lowest,
        normalize=normalize,
    )


def _some_product(layer: Layer, columns: list[Column]) -> bool:
    """Whether some unit of every row is above zero, even if not every unit is.

    An elementwise product pairs up units, so at most one operand may have zeros; a Kronecker
    product has all pairs. Of other kinds, nothing is known.
    """
    if layer.kind != Kind.PRODUCT:
        return layer.kind == Kind.KRONECKER and all(_some(column) for column in columns)
    start = 0
    for operands in layer.operands:
        mine = columns[start : start + operands.arity]
        start += operands.arity
        zeros = [column for column in mine if not _every(column)]
        if len(zeros) > 1 or not all(_some(column) for column in zeros):
            return False
    return True
