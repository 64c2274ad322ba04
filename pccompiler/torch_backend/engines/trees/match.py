"""Reads the regions of a plan, if they form trees that kernels can run with one region per lane.

A *region* is a dense sum over one product of sums, down to sums over binary indicators. A product
of more than two operands is split into regions without weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import count
from typing import TypeAlias

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.families import Family
from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.layers import Form
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import NoMatch


class Child(IntEnum):
    """Where a lane's operand comes from."""

    NONE = 0
    LANE = 1
    LEAF = 2
    PIECE = 3


@dataclass(eq=False)
class RegionTrees:
    """Regions, children before parents.

    Attributes:
        weight: Row among square weights, -1 for none, -2 - row among the roots' weights.
        kinds: Kind of each of the two operands, see `Child`.
        ids: Region or variable of each of the two operands.
        leaves: Row among leaf weights for each of the two operands, or -1.
        inputs: Row among those of all input layers for each of the two operands, or -1.
        roots: Regions that nothing reads, in the order of their layer.
        units: Units of every region except the roots.
        groups: Weight groups of regions, roots and leaves.
    """

    weight: list[int]
    kinds: list[tuple[int, int]]
    ids: list[tuple[int, int]]
    leaves: list[tuple[int, int]]
    inputs: list[tuple[int, int]]
    roots: list[int]
    units: int
    groups: tuple[int, int, int]

    def below(self, region: int) -> list[int]:
        """Regions that a region reads."""
        pairs = zip(self.kinds[region], self.ids[region], strict=True)
        return [below for kind, below in pairs if kind == Child.LANE]


def _refuse(condition: bool, why: str) -> None:
    if condition:
        raise NoMatch(why)


def read_trees(plan: Plan) -> RegionTrees:
    """The regions of a plan.

    Raises:
        NoMatch: If they are not trees of one width over binary leaves, with the reason.
    """
    _refuse(plan.packed, "the plan is packed: most nodes have one unit")
    top = len(plan.layers) - 1
    if plan.layers[top].kind == Kind.MIXTURE:
        _refuse(plan.layers[top].units != 1, "the root has several units")
        _refuse(len(plan.layers[top].operands[0].sources) != 1, "the root mixes several layers")
        top = plan.layers[top].operands[0].sources[0].layer
        _refuse(top != len(plan.layers) - 2, "there are layers outside the trees")
        rows = plan.layers[-1].operands[0].sources[0].rows
        same = len(rows) == plan.layers[top].rows and bool(
            (np.sort(rows) == np.arange(len(rows))).all()
        )
        _refuse(not same, "a tree has several readers")
    return _Walk(plan, top).run()


def root_order(plan: Plan) -> Int | None:
    """The mixture's column of each root; ``None`` if in order, or without a mixture."""
    if plan.layers[-1].kind != Kind.MIXTURE:
        return None
    rows = plan.layers[-1].operands[0].sources[0].rows
    return None if np.array_equal(rows, np.arange(len(rows))) else np.argsort(rows)


_Operand: TypeAlias = tuple[int, int, int, int]
"""Kind, region or variable, leaf row and input row."""


class _Walk:
    """Reads regions from the layers, bottom up."""

    def __init__(self, plan: Plan, top: int) -> None:
        self.plan, self.top = plan, top
        sizes = [layer.rows for layer in plan.layers]
        self.base = np.concatenate([[0], np.cumsum(sizes)])
        self.offset = _offsets(plan)
        self.region = np.full(self.base[-1], -1)  # for rows of sums: the region
        self.leaf = np.full((self.base[-1], 3), -1)  # variable, leaf row and input row
        self.input_rows = 0
        self.reads = np.zeros(self.base[-1], np.int64)
        self.pair = np.full((self.base[-1], 2), -1)  # for rows of products of two: the operands
        self.product: dict[int, list[int]] = {}  # operands of all other products
        self.out = RegionTrees([], [], [], [], [], [], 0, (-1, -1, -1))
        self.square = self.root = self.leaf_group = -1

    def run(self) -> RegionTrees:
        layers = self.plan.layers[: self.top + 1]
        widths = {layer.units for layer in layers[:-1] if layer.kind == Kind.SUM}
        _refuse(len(widths) != 1, "regions differ in units")
        self.out.units = widths.pop()
        for number, layer in enumerate(layers):
            _refuse(layer.form != Form.LINEAR and number != self.top, "a layer is in log form")
            if layer.kind == Kind.INPUT:
                self._input(number)
            elif layer.kind == Kind.PRODUCT:
                self._products(number)
            else:
                _refuse(layer.kind != Kind.SUM or layer.ragged, f"a {layer.kind.keyword} layer")
                self._sums(number)
        _refuse(not self.out.roots, "the root is not a sum")
        below = np.arange(self.base[self.top])
        inputs = [number for number in range(self.top) if layers[number].kind == Kind.INPUT]
        for number in inputs:
            self.reads[self.base[number] : self.base[number + 1]] = 1
        _refuse(bool((self.reads[below] != 1).any()), "a region has several readers")
        self.out.groups = (self.square, self.root, self.leaf_group)
        return self.out

    def _input(self, number: int) -> None:
        layer = self.plan.layers[number]
        _refuse(layer.family != Family.INDICATOR or layer.units != 2, "leaves are not binary")
        variables, here = layer.variables, slice(self.base[number], self.base[number + 1])
        if variables is not None:
            self.leaf[here, 0] = variables
        self.leaf[here, 2] = self.input_rows + np.arange(layer.rows)
        self.input_rows += layer.rows

    def _products(self, number: int) -> None:
        row = int(self.base[number])
        for operands in self.plan.layers[number].operands:
            places = operands.places(self.base).T
            np.add.at(self.reads, places.ravel(), 1)
            if places.shape[1] == 2:
                self.pair[row : row + len(places)] = places
            else:
                self.product |= dict(zip(count(row), places.tolist(), strict=False))
            row += len(places)

    def _sums(self, number: int) -> None:
        layer = self.plan.layers[number]
        _refuse(len(layer.operands) != 1 or layer.operands[0].arity != 1, "a sum has many operands")
        places = layer.operands[0].places(self.base)[0]
        np.add.at(self.reads, places, 1)
        first, offset = int(self.base[number]), self.offset[number]
        if self.plan.layers[layer.operands[0].sources[0].layer].kind == Kind.INPUT:
            _refuse(self.leaf_group not in (-1, layer.group), "leaf weights are in two groups")
            _refuse(layer.units != self.out.units, "leaves differ in units")
            self.leaf_group = layer.group
            self.leaf[first : first + layer.rows] = self.leaf[places]
            self.leaf[first : first + layer.rows, 1] = offset + np.arange(layer.rows)
            return
        is_root = number == self.top
        _refuse(is_root and layer.units != 1, "the root has several units")
        _refuse(not is_root and layer.units != self.out.units, "regions differ in units")
        if is_root:
            self.root = layer.group
        else:
            _refuse(self.square not in (-1, layer.group), "weights are in two groups")
            self.square = layer.group
        weights = offset + np.arange(layer.rows)
        if is_root:
            weights = -2 - weights
        if (self.pair[places, 0] >= 0).all():
            regions = self._pairs(weights, self.pair[places])
        else:
            regions = self._any(weights, places)
        self.region[first : first + layer.rows] = regions
        if is_root:
            self.out.roots += regions.tolist()

    def _pairs(self, weights: Int, operands: Int) -> Int:
        """Add a region for each pair of operands; their numbers."""
        first, inner, out = len(self.out.weight), self.region[operands] >= 0, self.out
        leaf = self.leaf[operands]
        _refuse(bool((~inner & (leaf[..., 1] < 0)).any()), "a product reads inputs")
        out.weight += weights.tolist()
        out.kinds += _rows(np.where(inner, int(Child.LANE), int(Child.LEAF)))
        out.ids += _rows(np.where(inner, self.region[operands], leaf[..., 0]))
        out.leaves += _rows(np.where(inner, -1, leaf[..., 1]))
        out.inputs += _rows(np.where(inner, -1, leaf[..., 2]))
        return first + np.arange(len(weights))

    def _any(self, weights: Int, places: Int) -> Int:
        """The same for products of any number of operands."""
        found: list[int] = []
        for weight, place in zip(weights.tolist(), places.tolist(), strict=True):
            pair: list[int] = self.pair[place].tolist()
            operands = self.product.get(place, pair)
            _refuse(operands[0] < 0, "a sum does not read a product")
            found.append(self._region(weight, operands))
        return np.array(found)

    def _region(self, weight: int, operands: list[int]) -> int:
        """Add a region; more than two operands are halved into regions with identity weights."""
        children = [self._child(place) for place in operands]
        while len(children) > 2:
            pairs = [children[i : i + 2] for i in range(0, len(children), 2)]
            children = [
                pair[0] if len(pair) == 1 else (int(Child.LANE), self._add(-1, pair), -1, -1)
                for pair in pairs
            ]
        return self._add(weight, children)

    def _child(self, place: int) -> _Operand:
        if self.region[place] >= 0:
            return int(Child.LANE), int(self.region[place]), -1, -1
        variable, row, input_row = self.leaf[place].tolist()
        _refuse(row < 0, "a product reads inputs")
        return int(Child.LEAF), variable, row, input_row

    def _add(self, weight: int, children: list[_Operand]) -> int:
        pair = [*children, (int(Child.NONE), -1, -1, -1)][:2]
        self.out.weight.append(weight)
        self.out.kinds.append((pair[0][0], pair[1][0]))
        self.out.ids.append((pair[0][1], pair[1][1]))
        self.out.leaves.append((pair[0][2], pair[1][2]))
        self.out.inputs.append((pair[0][3], pair[1][3]))
        return len(self.out.weight) - 1


def _rows(pairs: Int) -> list[tuple[int, int]]:
    """The rows of an array, shape (rows, 2)."""
    return list(zip(*pairs.T.tolist(), strict=True))


def _offsets(plan: Plan) -> dict[int, int]:
    """For each layer with one use, the start of its weights in its group, in plan order."""
    seen = dict.fromkeys(range(len(plan.groups)), 0)
    offsets: dict[int, int] = {}
    for use in plan.uses:
        offsets[use.layer] = seen[use.group]
        seen[use.group] += len(use.index)
    return offsets
