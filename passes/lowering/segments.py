"""Segments: runs of a plan's layers that can be recomputed on their own.

In post-order a subtree's layers form one run. If only its last layer is read from outside, the
others can be dropped after the upward pass and recomputed when the downward pass gets there.

Source:
    Chen et al. (2016), "Training Deep Nets with Sublinear Memory Cost".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pccompiler.ir import Family
from pccompiler.ir.arrays import Int, segments
from pccompiler.ir.plan.plan import Plan


@dataclass(frozen=True)
class Segments:
    """Runs of layers, and the values that training with them keeps alive.

    Attributes:
        runs: First and last layer of each run, ascending; the last layer's value is kept.
        kept: Numbers kept per row of data.
        largest: Numbers in the largest run, per row of data.
    """

    runs: tuple[tuple[int, int], ...]
    kept: int
    largest: int


def best_segments(plan: Plan) -> Segments:
    """The runs that minimise the kept values plus the largest run."""
    sizes = _sizes(plan)
    first = _closed(plan)
    total = segments(sizes)
    runs = np.flatnonzero((first >= 0) & (first < np.arange(len(first))))
    lengths = np.unique(total[runs + 1] - total[first[runs]])
    found = [_cut(first, sizes, total, int(most)) for most in (0, *lengths)]
    return min(found, key=lambda one: one.kept + one.largest)


def _sizes(plan: Plan) -> Int:
    """Size of each layer's value per row of data; indicators are read from the data."""
    return np.array(
        [0 if x.family == Family.INDICATOR else x.rows * x.units for x in plan.layers], np.int64
    )


def _closed(plan: Plan) -> Int:
    """Where the run that ends in each layer begins; -1 if others read from inside it."""
    last_use = np.array(plan.last_use)
    first = np.arange(len(plan.layers))
    closed = np.full(len(plan.layers), -1)
    for number, layer in enumerate(plan.layers):
        below = [b for b in layer.below if plan.layers[b].family != Family.INDICATOR]
        start = first[number] = min([number, *first[below].tolist()])
        if number == start or last_use[start:number].max() <= number:
            closed[number] = start
    return closed


def _cut(first: Int, sizes: Int, total: Int, most: int) -> Segments:
    """Maximal runs of at most ``most`` numbers, found from the end."""
    runs: list[tuple[int, int]] = []
    kept = largest = 0
    number = len(sizes) - 1
    kept += int(sizes[number])
    number -= 1
    while number >= 0:
        start = int(first[number])
        size = int(total[number + 1] - total[start]) if start >= 0 else 0
        kept += int(sizes[number])
        if 0 <= start < number and size <= most:
            runs.append((start, number))
            largest = max(largest, size)
            number = start
        number -= 1
    return Segments(tuple(reversed(runs)), kept, largest)
