"""Levels of wide sums, as one matrix product each: torch's, in cuBLAS.

Kernels make the operands: terms over the largest of their region on the way up, and flows over
values on the way down, both rounded to nearest if products are, since tensor cores truncate. The
way down writes over what the way up has kept: flows over values come in the place of values, and
flows in the place of terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.arrays import power_of_two
from pccompiler.torch_backend.engines.dense.buffers import Kept, Numbers
from pccompiler.torch_backend.engines.dense.compiling import launch
from pccompiler.torch_backend.engines.dense.kernels import products
from pccompiler.torch_backend.engines.dense.regions import Level

_KERNELS: Any = products
_TILE = 4096
"""Units of one or several rows of data in a program."""
_MOST = 2**25
"""The most numbers in one temporary product."""


class _Views(NamedTuple):
    """A level's terms (regions, arity, rows, width), values (regions, rows, units), and weights.

    Weights have the shape (regions, units, fan-in). Regions that share their weights become one,
    with the rows of all of them.
    """

    terms: Tensor
    values: Tensor
    weights: Tensor

    def arms(self) -> Iterator[tuple[Tensor, Tensor]]:
        """For each of the terms that regions mix, these terms and their weights."""
        width = self.terms.shape[3]
        for a in range(self.terms.shape[1]):
            yield self.terms[:, a], self.weights[..., a * width : (a + 1) * width]


class Wide:
    """The wide levels of one runner.

    Attributes:
        levels: The first regions of these levels.
        alone: Tables of which each place belongs to one region, all in wide levels.
    """

    def __init__(self, runner: Numbers) -> None:
        self.runner, regions = runner, runner.regions
        sums = [level for level in regions.levels if not level.shape.mixture]
        others = {level.table for level in sums if not self._fits(level)}
        wide = [level for level in sums if level.table not in others]
        self.levels = {level.first for level in wide}
        self.tables = {level.table for level in wide}
        self.alone: set[int] = set()
        for table in self.tables:
            rows = [np.arange(e.first, e.first + e.rows) for e in wide if e.table == table]
            places = np.sort(regions.weights[np.concatenate(rows)])
            if np.array_equal(places, np.arange(regions.heights[table])):
                self.alone.add(table)

    def _fits(self, level: Level) -> bool:
        """Whether sums are wide enough, and their weights are one place or consecutive ones."""
        shape, least = level.shape, self.runner.tiles.wide
        if min(shape.units, shape.width) < least:
            return False
        return self._consecutive(level) or self._shared(level)

    def _places(self, level: Level) -> tuple[int, ...]:
        places = self.runner.regions.weights[level.first : level.first + level.rows]
        return tuple(places.tolist())

    def _consecutive(self, level: Level) -> bool:
        places = self._places(level)
        return places == tuple(range(places[0], places[0] + level.rows))

    def _shared(self, level: Level) -> bool:
        return level.shape.arity == 1 and len(set(self._places(level))) == 1

    def raw(self, batch: int) -> bool:
        """Whether entries of leaves' tables are read as they are, not from logarithms of all.

        That saves memory and, if most entries are not read, time.
        """
        regions = self.runner.regions
        read = batch * sum(each.rows * each.units for each in regions.inputs)
        return bool(self.levels) and len(regions.logs) == 1 and regions.sizes[2] > read

    def rounded(self, tables: Sequence[Tensor]) -> dict[int, Tensor]:
        """Weights as matrix products take them."""
        precision = self.runner.precision
        if precision == "ieee":
            return {number: tables[number] for number in self.tables}
        found: dict[int, Tensor] = {}
        for number in self.tables:
            table = tables[number]
            found[number] = out = torch.empty_like(table)
            grid = (-(-table.numel() // _TILE),)
            options = {"TILE": _TILE, "PRECISION": precision}
            launch(_KERNELS.round_all, grid, out, table, table.numel(), **options)
        return found

    def forward(
        self, level: Level, weights: Tensor, tables: Tensor, kept: Kept, keep: bool
    ) -> None:
        """Values of the regions of a level; terms are stored only if ``keep``."""
        runner, shape = self.runner, level.shape
        batch = kept.scales.shape[1]
        terms = (
            self._terms(level, kept) if keep else kept.values.new_empty(self._size(level, batch))
        )
        wide = min(_TILE, power_of_two(shape.width))
        high = max(1, _TILE // wide // 2)
        launch(
            _KERNELS.level_terms, (level.rows, -(-batch // high)),
            kept.values, kept.scales, terms, tables, kept.codes, *runner.leaves, runner.tables,
            runner.states, *runner.children, runner.values, runner.terms, level.first, batch,
            shape.width, shape.arity, WHOLE=shape.arity == 1 and shape.width <= wide,
            LONG=runner.regions.long(level), RAW=self.raw(batch), BB=high, BK=wide,
            PRECISION=runner.precision,
        )  # fmt: skip
        views = self._views(level, terms, kept, weights)
        for a, (arm, own) in enumerate(views.arms()):
            turned = own.transpose(1, 2)
            if a == 0:
                torch.bmm(arm, turned, out=views.values)
            else:
                torch.baddbmm(views.values, arm, turned, out=views.values)
        views.values.log_()

    def backward(
        self, level: Level, weights: Tensor, out: Tensor, kept: Kept, grad: Tensor
    ) -> None:
        """Flows into the terms of a level, in their place, and gradients of weights.

        Gradients are added to ``out`` unless each of its places belongs to one region.
        """
        runner, shape, batch = self.runner, level.shape, len(grad)
        wide = min(_TILE, power_of_two(shape.units))
        high = max(1, _TILE // wide // 2)
        launch(
            _KERNELS.level_flows, (level.rows, -(-batch // high), -(-shape.units // wide)),
            kept.values, kept.terms, grad, *runner.readers, runner.values, level.first,
            len(kept.scales) - 1, batch, shape.units, BB=high, BM=wide, PRECISION=runner.precision,
        )  # fmt: skip
        views = self._views(level, self._terms(level, kept), kept, weights)
        own = self._views(level, self._terms(level, kept), kept, out)
        add = level.table not in self.alone
        turned = views.values.transpose(1, 2)
        for arm, to in own.arms():
            if to.is_contiguous():
                torch.baddbmm(to, turned, arm, beta=float(add), out=to)
            elif add:
                to += torch.bmm(turned, arm)
            else:
                to.copy_(torch.bmm(turned, arm))
        for arm, table in views.arms():
            step = max(1, _MOST // arm[0].numel())
            for first in range(0, len(arm), step):
                part = slice(first, first + step)
                arm[part] *= torch.bmm(views.values[part], table[part])

    def _size(self, level: Level, batch: int) -> int:
        return level.rows * level.shape.arity * level.shape.width * batch

    def _terms(self, level: Level, kept: Kept) -> Tensor:
        """The terms of a level, flat."""
        regions, batch = self.runner.regions, kept.scales.shape[1]
        first = int(regions.products[regions.terms[level.first]]) * batch
        return kept.terms.data[first : first + self._size(level, batch)]

    def _views(self, level: Level, terms: Tensor, kept: Kept, table: Tensor) -> _Views:
        shape, batch = level.shape, kept.scales.shape[1]
        first = int(self.runner.regions.values[level.first]) * batch
        number = level.rows * batch * shape.units
        values = kept.values.data[first : first + number]
        place = self._places(level)[0]
        if self._consecutive(level):
            return _Views(
                terms.view(level.rows, shape.arity, batch, shape.width),
                values.view(level.rows, batch, shape.units),
                table[place : place + level.rows],
            )
        rows = level.rows * batch
        return _Views(
            terms.view(1, 1, rows, shape.width),
            values.view(1, rows, shape.units),
            table[place : place + 1],
        )
