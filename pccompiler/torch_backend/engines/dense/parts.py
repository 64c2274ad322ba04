"""The launch order of levels; consecutive levels of a chain are one launch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Int
from pccompiler.torch_backend.engines.dense.regions import Level, Lists, Regions

MOST_UNITS = 128
"""A program keeps the weights of one step on chip."""
_SHORTEST = 3


@dataclass(frozen=True)
class Chain:
    """Consecutive levels of one shape: region i of each reads region i of the level below.

    All other factors of their terms are leaf rows and given regions.
    """

    levels: tuple[Level, ...]


def with_chains(regions: Regions) -> list[Level | Chain]:
    """Levels bottom-up, with those of a chain grouped."""
    readers = np.bincount(regions.children.items, minlength=len(regions.values))
    given = np.zeros(len(regions.values), bool)
    for each in regions.given:
        given[each.first : each.first + each.rows] = True
    runs: list[list[Level]] = []
    for level in regions.levels:
        if runs and _follows(regions, level, runs[-1][-1], readers, given):
            runs[-1].append(level)
        else:
            runs.append([level])
    found: list[Level | Chain] = []
    for run in runs:
        found += [run[0], Chain(tuple(run[1:]))] if len(run) > _SHORTEST else run
    return found


def _follows(
    regions: Regions, level: Level, below: Level, readers: Int, given: NDArray[np.bool_]
) -> bool:
    """Whether the regions of a level read those of ``below``, and are their only readers."""
    shape = level.shape
    if (level.first, level.rows) != (below.first + below.rows, below.rows):
        return False
    if level.table != below.table:
        return False
    if shape.mixture or shape.arity != 1 or not shape.units == shape.width <= MOST_UNITS:
        return False
    for term, row in enumerate(range(below.first, level.first), regions.terms[level.first]):
        others = others_of(regions.children, term, row)
        if readers[row] != 1 or not given[others].all():
            return False
        if len(others) != regions.children.starts[term + 1] - regions.children.starts[term] - 1:
            return False
    return True


def others_of(children: Lists, term: int, row: int) -> Int:
    """Regions that a term multiplies other than ``row``."""
    items = children.items[children.starts[term] : children.starts[term + 1]]
    return np.asarray(items[items != row])


def launches(regions: Regions, *, back: bool) -> int:
    """Number of kernels that an evaluation launches, with or without the way down."""
    parts = with_chains(regions)
    up = len(regions.logs) + len(parts)
    if not back:
        return up
    gradients = len(regions.members()) + len(regions.logs) + len(regions.given)
    return up + len(parts) + gradients
