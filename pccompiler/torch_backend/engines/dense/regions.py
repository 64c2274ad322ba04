"""How fused kernels see a plan of wide dense sums.

Every row of a dense sum or of a mixture becomes a *region*. It mixes `Shape.arity` *terms*, each a
product of leaf rows and of other regions' values; nested products are flattened, and a product that
several sums read is one term in each. A level of the plan is then one launch in each direction
(the package `kernels`), and only terms are stored in memory, which the
backward pass reads again.

A leaf row is a table over states: discrete leaves, and sums over the states of one variable.
Log-densities of other leaves are *given*: regions without terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.rounding import FEW_OPERANDS


@dataclass(frozen=True)
class Shape:
    """The shape of a region: ``units`` sums over ``arity`` terms of ``width`` units each.

    In a *mixture*, unit i mixes only units i of the terms.
    """

    units: int
    width: int
    arity: int
    mixture: bool = False

    @property
    def columns(self) -> int:
        """Number of columns of the weights."""
        return self.arity if self.mixture else self.width * self.arity


@dataclass(frozen=True)
class Level:
    """The regions ``first, first + 1, ...`` of one layer, with weights of one table."""

    table: int
    first: int
    rows: int
    shape: Shape


@dataclass(frozen=True)
class Given:
    """The regions ``first, first + 1, ...`` of one input layer with given log-densities."""

    layer: int
    first: int
    rows: int
    units: int


@dataclass(frozen=True)
class Inputs:
    """The leaf rows ``first, first + 1, ...`` of one layer, from one table."""

    table: int
    first: int
    rows: int
    units: int
    states: int


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists of numbers end to end: list i is ``items[starts[i]:starts[i + 1]]``."""

    starts: Int
    items: Int

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> Lists:
        """From Python lists."""
        sizes = np.fromiter((len(each) for each in lists), np.int64, len(lists))
        items = np.fromiter((i for each in lists for i in each), np.int64, int(sizes.sum()))
        return cls(np.concatenate([[0], np.cumsum(sizes)]), items)

    @classmethod
    def by_place(cls, members: Int, places: Int, number: int) -> Lists:
        """The members at each of ``number`` places, ascending."""
        at = places[members]
        sizes = np.bincount(at, minlength=number)
        return cls(np.concatenate([[0], np.cumsum(sizes)]), members[np.argsort(at, kind="stable")])

    def transposed(self, number: int) -> Lists:
        """For each item below ``number``, the lists that contain it, ascending."""
        owner = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        order = np.argsort(self.items, kind="stable")
        sizes = np.bincount(self.items, minlength=number)
        return Lists(np.concatenate([[0], np.cumsum(sizes)]), owner[order])


@dataclass(frozen=True, eq=False, kw_only=True)
class Regions:
    """A plan as regions, terms and leaf rows, numbered in the order of the plan.

    Attributes:
        groups: The weight group of each table.
        heights: The number of places in each table.
        levels: Layers of sums and mixtures, bottom-up; the root is the last region.
        given: Layers of given regions.
        inputs: Layers of leaf rows.
        values: Shape ``(regions,)``: offset of each region's units in the buffer of all values.
        terms: Shape ``(regions,)``: each region's first term.
        weights: Shape ``(regions,)``: the row of each region's weights in its table, or -1.
        products: Shape ``(terms,)``: offset of each term's units in the buffer of all terms.
        children: For each term, the regions that it multiplies.
        leaves: For each term, the leaf rows that it multiplies.
        places: Shape ``(leaf rows,)``: the row of each one in its table. Rows may share it.
        logs: For each table that leaf rows take, the offset of its logarithms.
        states: Shape ``(leaf rows,)``: number of states of each row.
        variables: Shape ``(leaf rows,)``: the variable of each row.
        sizes: Sizes of the buffers of values and of terms, per row of data, and of tables.
    """

    groups: tuple[int, ...]
    heights: tuple[int, ...]
    levels: tuple[Level, ...]
    given: tuple[Given, ...]
    inputs: tuple[Inputs, ...]
    values: Int
    terms: Int
    weights: Int
    products: Int
    children: Lists
    leaves: Lists
    places: Int
    logs: dict[int, int]
    states: Int
    variables: Int
    sizes: tuple[int, int, int]

    @cached_property
    def _long(self) -> frozenset[int]:
        """The first regions of the levels that have terms of many factors."""
        factors = np.diff(self.children.starts) + np.diff(self.leaves.starts)
        found: set[int] = set()
        for level in self.levels:
            first = int(self.terms[level.first])
            if (factors[first : first + level.rows * level.shape.arity] > FEW_OPERANDS).any():
                found.add(level.first)
        return frozenset(found)

    def long(self, level: Level) -> bool:
        """Whether some term of a level is a product of more than `FEW_OPERANDS` factors."""
        return level.first in self._long

    @cached_property
    def tables(self) -> Int:
        """Shape ``(leaf rows,)``: offset of the logarithms of each, shape (states, units)."""
        offsets = [
            self.logs[each.table] + self.places[span] * each.units * each.states
            for each in self.inputs
            for span in (slice(each.first, each.first + each.rows),)
        ]
        return np.concatenate(offsets) if offsets else np.zeros(0, np.int64)

    def members(self) -> dict[tuple[int, Shape], Lists]:
        """For each table and shape of sums, the regions that have each of the table's rows."""
        found: dict[tuple[int, Shape], list[Int]] = {}
        for level in self.levels:
            regions = np.arange(level.first, level.first + level.rows)
            found.setdefault((level.table, level.shape), []).append(regions)
        return {
            key: Lists.by_place(np.concatenate(regions), self.weights, self.heights[key[0]])
            for key, regions in found.items()
        }

    def takers(self) -> dict[int, Lists]:
        """For each table that leaf rows take, the leaf rows that have each of its rows."""
        found: dict[int, list[Int]] = {}
        for each in self.inputs:
            found.setdefault(each.table, []).append(np.arange(each.first, each.first + each.rows))
        return {
            table: Lists.by_place(np.concatenate(rows), self.places, self.heights[table])
            for table, rows in found.items()
        }

    def joined(self) -> dict[int, Int]:
        """For tables of which several leaf rows share each place, these rows, (places, members).

        Only if each leaf row has one reader, and all have the same states and number of members.
        """
        readers = self.leaves.transposed(len(self.states))
        found: dict[int, Int] = {}
        for table, lists in self.takers().items():
            members = np.unique(np.diff(lists.starts))
            alone = (np.diff(readers.starts)[lists.items] == 1).all()
            if len(members) != 1 or members[0] < 2 or not alone:
                continue
            rows = lists.items.reshape(-1, members[0])
            if (self.states[rows] == self.states[rows[:, :1]]).all():
                found[table] = rows
        return found
