"""A plan as a list of instructions, one for each node, over slots, one for each unit.

The kernels of `pccompiler.torch_backend.engines.general` interpret it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Int, segments
from pccompiler.ir.families import Family
from pccompiler.ir.kinds import PRODUCTS, Kind, factors
from pccompiler.ir.plan.layers import Layer, Operands
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import NoMatch
from pccompiler.torch_backend.engines.tables_by_group import places, table_rows
from pccompiler.torch_backend.values import has_table

MOST_SLOTS = 2**30
"""Slots and items are numbered in 32 bits."""


class Op(IntEnum):
    """What an instruction computes."""

    TABLE = 0
    """A leaf, or a sum over the states of a variable, that looks its units up by state."""
    INDICATOR = 1
    """A leaf with a unit for each state."""
    GIVEN = 2
    """A leaf with given log-densities."""
    PRODUCT = 3
    """An elementwise product; items: the first slot of each factor."""
    CROSSED = 4
    """Any other product; items: each factor's slots, unit by unit."""
    SUM = 5
    """A dense sum; items: the slots that it mixes."""
    MIXTURE = 6
    """A mixture unit by unit; items: the first slot of each operand."""


FIELDS: Final[tuple[str, ...]] = (
    *("op", "units", "out", "first"),
    *("count", "table", "place", "variable"),
)


@dataclass(frozen=True, eq=False)
class Program:
    """Instructions in the order of the plan's layers; the root's slot is the last one.

    Attributes:
        code: Shape ``(nodes, 8)``; columns are `FIELDS`. ``out`` is the node's first slot,
            ``first`` and ``count`` say which items it reads (of a product that is not elementwise,
            ``count`` lists of ``units`` items), ``table`` and ``place`` where its weights or
            densities are, ``variable`` what a leaf is about. Of leaves, ``first`` is the number
            of the first unit among those of all input layers.
        items: Slots that instructions read.
        groups: The weight group of each table.
        heights: The number of weights in each table.
        given: The input layers with given log-densities; they are tables after those of groups.
        starts: Shape ``(layers + 1,)``: the first instruction of each layer.
        slots: Number of slots.
        widest: The largest fan-in, or number of units, of a sum.
        leaves: Number of units of all input layers.
        states: Whether sums over the states of a variable are sums like all others.
    """

    code: NDArray[np.int32]
    items: NDArray[np.int32]
    groups: tuple[int, ...]
    heights: tuple[int, ...]
    given: tuple[int, ...]
    starts: Int
    slots: int
    widest: int
    leaves: int
    states: bool

    @cached_property
    def owners(self) -> NDArray[np.int32]:
        """The instruction of each slot; -1 if nothing writes it."""
        found = np.full(self.slots, -1, np.int32)
        units = self.code[:, 1]
        number = np.repeat(np.arange(len(units), dtype=np.int32), units)
        first = np.repeat(self.code[:, 2] - segments(units.astype(np.int64))[:-1], units)
        found[first + np.arange(len(number))] = number
        return found

    @cached_property
    def most_uses(self) -> int:
        """How many instructions use the same weight, at most."""
        weighted = self.code[np.isin(self.code[:, 0], (Op.TABLE, Op.SUM, Op.MIXTURE))]
        _, uses = np.unique(weighted[:, 5:7], axis=0, return_counts=True)
        return int(uses.max(initial=0))


def program_of(
    plan: Plan, *, states: bool = False, given: Collection[int] = frozenset()
) -> Program:
    """The instructions of a plan.

    Args:
        plan: The plan.
        states: Whether to mix states by sums. Otherwise sums over states are tables, like leaves.
        given: Input layers whose log-values are given, whatever their family.

    Raises:
        NoMatch: If the plan is too large to number its slots in 32 bits.
    """
    base = segments(np.array([layer.rows * layer.units for layer in plan.layers], np.int64))
    edges = sum(o.rows * o.arity * o.units for layer in plan.layers for o in layer.operands)
    if max(int(base[-1]), edges) > MOST_SLOTS:
        raise NoMatch(f"it has more than {MOST_SLOTS:,} units or edges")
    reader = _Reader(plan, base, states, given)
    for number, layer in enumerate(plan.layers):
        reader.read(number, layer)
    sums = [layer for layer in plan.layers if layer.kind == Kind.SUM and not layer.ragged]
    return Program(
        code=np.ascontiguousarray(np.concatenate(reader.code), np.int32),
        items=np.ascontiguousarray(np.concatenate([np.zeros(0), *reader.items]), np.int32),
        groups=tuple(reader.groups),
        heights=tuple(reader.heights),
        given=tuple(reader.given),
        starts=segments(np.array(reader.rows, np.int64)),
        slots=int(base[-1]),
        widest=max([1, *(max(layer.fan_in, layer.units) for layer in sums)]),
        leaves=reader.leaves_so_far,
        states=states,
    )


class _Reader:
    """Collects instructions and items, layer by layer."""

    def __init__(self, plan: Plan, base: Int, states: bool, given: Collection[int]) -> None:
        self.plan, self.base, self.states = plan, base, states
        self.groups = [number for number, group in enumerate(plan.groups) if group.tabular]
        self.heights = [table_rows(plan, number) for number in self.groups]
        self.given = [
            number
            for number, layer in enumerate(plan.layers)
            if number in given
            or (layer.kind == Kind.INPUT and layer.group >= 0 and not has_table(layer))
        ]
        self.tables = {group: place for place, group in enumerate(self.groups)}
        self.places = places(plan)
        self.code: list[Int] = []
        self.items: list[Int] = []
        self.read_so_far = 0
        self.leaves_so_far = 0
        self.rows = [0] * len(plan.layers)  # instructions of each layer
        self.observed = [self._observed(layer) for layer in plan.layers]
        self.needed = {
            below
            for layer, observed in zip(plan.layers, self.observed, strict=True)
            if observed is None
            for below in layer.below
        }

    def _observed(self, layer: Layer) -> Int | None:
        """The variables whose states are all that the layer's dense sums read, if there are any."""
        if self.states or layer.kind != Kind.SUM or layer.ragged or len(layer.operands) != 1:
            return None
        (operands,) = layer.operands
        below = [self.plan.layers[source.layer] for source in operands.sources]
        if operands.arity != 1 or any(each.family != Family.INDICATOR for each in below):
            return None
        if any(source.layer in self.given for source in operands.sources):
            return None
        found = np.empty(layer.rows, np.int64)
        for source, each in zip(operands.sources, below, strict=True):
            found[source.positions] = np.asarray(each.variables)[source.rows]
        return found

    def read(self, number: int, layer: Layer) -> None:
        """Add the instructions of a layer, except for states that nothing but tables reads."""
        variables = self.observed[number] if layer.variables is None else layer.variables
        if variables is not None:
            if layer.family != Family.INDICATOR or number in self.needed:
                self._leaf(number, layer, np.asarray(variables))
            if layer.kind == Kind.INPUT:
                self.leaves_so_far += layer.rows * layer.units
            return
        slots = [self._slots(operands) for operands in layer.operands]
        if layer.kind == Kind.PRODUCT:
            for table in slots:  # (factors, rows, units)
                self._add(Op.PRODUCT, number, table[:, :, 0].T)
        elif layer.kind in PRODUCTS:
            stacked = np.stack(factors(layer.kind, [table[0] for table in slots], axis=1))
            self._add(Op.CROSSED, number, stacked.swapaxes(0, 1), count=len(stacked))
        elif layer.ragged:
            for part, table in enumerate(slots):
                self._add(Op.SUM, number, table[:, :, 0].T, weights=self._weights(number, part))
        elif layer.kind == Kind.MIXTURE:
            mixed = slots[0][:, :, 0].T
            self._add(Op.MIXTURE, number, mixed, weights=self._weights(number))
        elif layer.kind == Kind.SUM:
            mixed = np.concatenate([column for table in slots for column in table], axis=1)
            self._add(Op.SUM, number, mixed, weights=self._weights(number))
        else:
            raise NoMatch(f"layer {number} is a {layer.kind.keyword} layer")

    def _leaf(self, number: int, layer: Layer, variables: Int) -> None:
        """Add leaves, or sums over states, which are tables as well."""
        none = np.zeros((layer.rows, 0), np.int64)
        if number in self.given:
            table = len(self.groups) + self.given.index(number)
            weights = table, np.arange(layer.rows)
            self._add(Op.GIVEN, number, none, weights=weights, variables=variables)
        elif layer.family == Family.INDICATOR:
            self._add(Op.INDICATOR, number, none, variables=variables)
        else:
            weights = self._weights(number)
            self._add(Op.TABLE, number, none, weights=weights, variables=variables)

    def _weights(self, number: int, part: int = 0) -> tuple[int, Int]:
        """The table of a layer's weights, and where they are in it."""
        layer = self.plan.layers[number]
        group = layer.groups[part] if layer.ragged else layer.group
        return self.tables[group], self.places[number, part]

    def _slots(self, operands: Operands) -> Int:
        """Slots of operands, shape (arity, rows, units)."""
        table: Int = operands.places(self.base, operands.units)[:, :, None]
        return table + np.arange(operands.units)

    def _add(
        self,
        op: Op,
        number: int,
        items: Int,
        *,
        count: int | None = None,
        weights: tuple[int, Int] = (0, np.zeros(1, np.int64)),
        variables: Int | None = None,
    ) -> None:
        """Add an instruction for each row of ``items``, the next rows of layer ``number``."""
        rows, size, units = (
            len(items),
            int(np.prod(items.shape[1:])),
            self.plan.layers[number].units,
        )
        first = self.rows[number]
        code = np.zeros((rows, len(FIELDS)), np.int64)
        code[:, 0], code[:, 1] = int(op), units
        code[:, 2] = self.base[number] + np.arange(first, first + rows) * units
        code[:, 3] = self.read_so_far + size * np.arange(rows)
        if self.plan.layers[number].kind == Kind.INPUT:
            code[:, 3] = self.leaves_so_far + units * np.arange(rows)
        code[:, 4] = size if count is None else count
        code[:, 5], code[:, 6] = weights
        code[:, 7] = 0 if variables is None else variables
        self.code.append(code)
        self.items.append(items.ravel())
        self.read_so_far += items.size
        self.rows[number] += rows
