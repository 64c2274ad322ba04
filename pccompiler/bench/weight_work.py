"""The work to compute weights from parameters, whatever the batch: hypernetwork and softmax."""

from __future__ import annotations

from pccompiler.bench.units import Work
from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.parameters import lay_out
from pccompiler.ir.plan.plan import Plan

LEAF_BACK = 2
"""Arithmetic of the gradient of one leaf parameter without softmax."""


def weight_work(plan: Plan, back: bool) -> Work:
    """The work of all weights; ``back`` adds the gradients of their parameters."""
    total = _network(plan, back)
    for group in plan.groups:
        total += _constraint(group, back)
    return total


def _constraint(group: WeightGroup, back: bool) -> Work:
    """Softmax, or the constraint of a leaf's parameters."""
    rows = len(group.weights) * group.rows
    entries = rows * group.columns
    if group.is_simplex:
        again = rows * (4 * group.columns - 1) if back else 0
        return Work(flops=rows * (2 * group.columns - 1) + again, special=entries + rows)
    again = LEAF_BACK * entries if back else 0
    work = [parameter.support.work for parameter in group.parameters]
    flops, special = sum(flops for flops, _ in work), sum(special for _, special in work)
    return Work(flops=rows * flops + again, special=rows * special)


def _network(plan: Plan, back: bool) -> Work:
    """The linear layers of the generator."""
    heads = lay_out(plan).heads
    products = plan.generator.products(heads) if heads else []
    return sum((_linear(*product, back) for product in products), Work())


def _linear(rows: int, inputs: int, outputs: int, back: bool) -> Work:
    """``inputs`` multiplications and additions, bias included, for each output.

    Backward, the gradients of weights and of inputs take as many each, and that of the bias one
    addition for each output.
    """
    forward = 2 * rows * inputs * outputs
    return Work(flops=3 * forward + rows * outputs if back else forward)
