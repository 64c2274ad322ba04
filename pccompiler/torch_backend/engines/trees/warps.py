"""Cuts the trees of a plan into pieces that fit in a warp, one region per lane.

A *region* is a dense sum over one product of sums, down to sums over binary indicators. If each
region has one reader, regions form trees, and a whole tree needs no layer values in memory: each
lane of a warp owns a region, keeps its weights in registers, and passes values to its parent's lane
while rows of data stream by. Pieces (of at most 32 regions) that read other pieces come in later
stages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.trees.lanes import (
    FIELDS,
    OPERAND,
    WARP,
    Field,
    Role,
    choose_columns,
    number_entries,
    number_leaves,
)
from pccompiler.torch_backend.engines.trees.match import Child, RegionTrees, read_trees

DEPTH = 6
"""The most levels of a piece; it must not exceed 8."""


IDENTITY = -1
"""The weight of lanes that only multiply, and of idle lanes."""


@dataclass(frozen=True, eq=False)
class Stage:
    """Pieces that run at the same time.

    Attributes:
        table: Shape (fields, warps, 32), see `Field`.
        weight: Shape (warps, 32): row among square weights, `IDENTITY`, or -2 - row among the
            roots' weights.
        leaf: Shape (2, warps, 32): row among leaf weights of each leaf operand, otherwise -1.
        depth: Highest level of any lane.
        entries: The most lanes without a parent in any warp.
        leaves: Whether any lane reads leaves.
        pieces: Whether any lane reads other pieces.
    """

    table: Int
    weight: Int
    leaf: Int
    depth: int
    entries: int
    leaves: bool
    pieces: bool


@dataclass(frozen=True, eq=False)
class Arrangement:
    """The trees of a plan as stages.

    Attributes:
        units: Units of every region except the roots.
        stages: The stages, in order.
        pieces: Number of pieces that are read by others.
        roots: Number of roots; their layer is the last or the second to last.
        inputs: The row among those of all input layers that each leaf's slot reads.
        square, root, leaf: Weight groups of regions, roots and leaves (-1: none).
    """

    units: int
    stages: tuple[Stage, ...]
    pieces: int
    roots: int
    inputs: Int
    square: int
    root: int
    leaf: int

    @property
    def lanes(self) -> int:
        """Number of lanes in all stages, including idle ones; stages are numbered consecutively."""
        return sum(stage.weight.size for stage in self.stages)

    def slots(self) -> dict[int, Int]:
        """Where weights are placed: group to rows, components and lanes, shape (3, weights).

        Rows count the group's weights in the order of its uses. Component u k + j is weight (u, j)
        of a lane; the leaf weights of its operands follow, 2 u + state for each.
        """
        weight = np.concatenate([stage.weight.ravel() for stage in self.stages])
        leaf = np.concatenate([stage.leaf.reshape(2, -1) for stage in self.stages], axis=1)
        square, root = np.flatnonzero(weight >= 0), np.flatnonzero(weight < IDENTITY)
        side, lane = np.nonzero(leaf >= 0)
        first = self.units**2 + side * 2 * self.units
        found: dict[int, Int] = {}
        for group, rows, component, at in (
            (self.square, weight[square], np.zeros_like(square), square),
            (self.root, -2 - weight[root], np.zeros_like(root), root),
            (self.leaf, leaf[side, lane], first, lane),
        ):
            if group >= 0:  # with two units, leaves and regions share a group
                before = found.get(group, np.empty((3, 0), np.int64))
                found[group] = np.concatenate([before, np.stack([rows, component, at])], axis=1)
        return found


def arrange(plan: Plan) -> Arrangement:
    """Cut a plan of trees into stages.

    Raises:
        NoMatch: If the plan is not made of such trees, with the reason.
    """
    trees = read_trees(plan)
    return _stages(trees, _cut(trees))


@dataclass(eq=False)
class _Cut:
    """For each region, whether it is the root of a piece, its level, and its piece's stage."""

    is_root: list[bool]
    level: list[int]
    stage: list[int]


def _cut(trees: RegionTrees) -> _Cut:
    """Pieces, bottom up: a region that would make its piece too large or deep starts a new one."""
    number = len(trees.weight)
    size, level, stage = [1] * number, [0] * number, [0] * number
    is_root = [False] * number
    for region in range(number):
        below = trees.below(region)
        total = 1 + sum(size[i] for i in below)
        height = 1 + max((level[i] for i in below), default=-1)
        before = max((stage[i] for i in below), default=0)
        if total > WARP or height >= DEPTH:
            for i in below:
                is_root[i] = True
            total, height, before = 1, 0, before + 1
        elif len({stage[i] for i in below}) > 1:  # a piece has only one stage
            for i in below:
                if stage[i] < before:
                    is_root[i] = True
                    total -= size[i]
            height = 1 + max(level[i] for i in below if stage[i] == before)
        size[region], level[region], stage[region] = total, height, before
    for region in trees.roots:
        is_root[region] = True
    return _Cut(is_root, level, stage)


@dataclass(frozen=True, eq=False)
class _Columns:
    """Regions as arrays; a last entry stands for idle lanes, and for no region."""

    weight: Int
    level: Int
    parent: Int
    piece: Int
    root: Int
    kinds: Int
    ids: Int
    leaves: Int
    inputs: Int


def _stages(trees: RegionTrees, cut: _Cut) -> Arrangement:
    number = len(trees.weight)
    parent = [-1] * number
    for region in range(number):
        for below in trees.below(region):
            parent[below] = region
    top = list(range(number))  # piece root of each region
    for region in reversed(range(number)):
        if not cut.is_root[region]:
            top[region] = top[parent[region]]
    members: dict[int, list[int]] = {}
    for region in range(number):
        members.setdefault(top[region], []).append(region)
    root, piece = np.full((2, number + 1), -1)
    root[trees.roots] = np.arange(len(trees.roots))
    read = [region for region in members if root[region] < 0]
    piece[read] = np.arange(len(read))
    kinds, ids, leaves, inputs = (
        np.array([*pairs, (-1, -1)])
        for pairs in (trees.kinds, trees.ids, trees.leaves, trees.inputs)
    )
    columns = _Columns(
        weight=np.array([*trees.weight, IDENTITY]),
        level=np.array([*cut.level, -1]),
        parent=np.array([*parent, -1]),
        piece=piece,
        root=root,
        kinds=kinds,
        ids=ids,
        leaves=leaves,
        inputs=inputs,
    )
    stages: list[Stage] = []
    for stage in range(1 + max(cut.stage)):
        pieces = [members[p] for p in members if cut.stage[p] == stage]
        stages.append(_stage(columns, pieces))
    slots = number_leaves([stage.table for stage in stages])
    sizes = len(read), len(trees.roots)
    return Arrangement(trees.units, tuple(stages), *sizes, slots, *trees.groups)


def _stage(trees: _Columns, pieces: list[list[int]]) -> Stage:
    warps = _fill(pieces)
    region = np.full((len(warps), WARP), -1)
    for warp, regions in enumerate(warps):
        region[warp, : len(regions)] = regions
    own = region >= 0
    lane = np.full(len(trees.weight), -1)  # of regions of other stages: -1
    lane[region[own]] = np.nonzero(own)[1]
    table = np.full((FIELDS, *region.shape), -1)
    weight, leaf = trees.weight[region], trees.leaves[region].transpose(2, 0, 1)
    table[Field.LEVEL], table[Field.PARENT] = trees.level[region], lane[trees.parent[region]]
    table[Field.ROOT], table[Field.PIECE] = trees.root[region], trees.piece[region]
    for side in range(2):
        kind, source = trees.kinds[region, side], trees.ids[region, side]
        inner = kind == Child.LANE
        column = np.where(inner, lane[np.where(inner, source, -1)], -1)
        outer = inner & (column < 0)
        table[Field.KIND + OPERAND * side :][:OPERAND] = (
            np.where(outer, int(Child.PIECE), kind),
            column,
            np.where(outer, trees.piece[source], np.where(inner, -1, source)),
            trees.inputs[region, side],
        )
    for warp in range(len(warps)):
        choose_columns(table[:, warp])
    entries = number_entries(table)
    table[Field.ROLE] = np.select([weight >= 0, weight < IDENTITY], [Role.SQUARE, Role.ROOT])
    kinds = table[[Field.KIND, Field.KIND + OPERAND]]
    leaves, others = (bool((kinds == kind).any()) for kind in (Child.LEAF, Child.PIECE))
    depth = int(table[Field.LEVEL].max())
    return Stage(table, weight, leaf, depth, entries, leaves, others)


def _fill(pieces: list[list[int]]) -> list[list[int]]:
    """Distribute pieces over warps, the largest first, each where it fits best."""
    room: dict[int, list[int]] = {}  # number of free lanes to warps
    warps: list[list[int]] = []
    for piece in sorted(pieces, key=len, reverse=True):
        fit = next((free for free in range(len(piece), WARP + 1) if room.get(free)), None)
        if fit is None:
            warps.append([])
            fit, warp = WARP, len(warps) - 1
        else:
            warp = room[fit].pop()
        warps[warp].extend(piece)
        room.setdefault(fit - len(piece), []).append(warp)
    return warps
