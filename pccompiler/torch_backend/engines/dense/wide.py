"""Levels of wide sums, as one matrix product each: torch's, in cuBLAS.

Kernels make the operands: terms over the largest of their region on the way up, and flows over
values on the way down, both rounded to nearest if products are, since tensor cores truncate. The
way down writes over what the way up has kept: flows over values come in the place of values, and
flows in the place of terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.arrays import Int, power_of_two
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
    """A level's terms (regions, arity, rows, width) and values (regions, rows, units).

    Regions that share their weights are one, with the rows of all of them.
    """

    terms: Tensor
    values: Tensor

    def arms(self, weights: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Each of the terms that regions mix, and its weights of (regions, units, fan-in)."""
        width = self.terms.shape[3]
        for a in range(self.terms.shape[1]):
            yield self.terms[:, a], weights[..., a * width : (a + 1) * width]


class _Places(NamedTuple):
    """Where a level's weights are in their table.

    Attributes:
        rows: The place of each region, on the device.
        span: These places as a slice, if they are consecutive, or all the same.
        shared: Whether they are all the same.
    """

    rows: Tensor
    span: slice | None
    shared: bool


class Wide:
    """The wide levels of one runner.

    Attributes:
        levels: Where the weights of each of these levels are, by the level's first region.
        tables: The tables of these levels.
        alone: Tables of which each place belongs to one region.
    """

    def __init__(self, runner: Numbers) -> None:
        self.runner, regions = runner, runner.regions
        sums = [level for level in regions.levels if not level.shape.mixture]
        others = {level.table for level in sums if not self._fits(level)}
        wide = [level for level in sums if level.table not in others]
        self.levels = {level.first: self._placed(level) for level in wide}
        self.tables = {level.table for level in wide}
        self.alone: set[int] = set()
        for table in self.tables:
            places = np.concatenate([self._where(e) for e in wide if e.table == table])
            if np.array_equal(np.sort(places), np.arange(regions.heights[table])):
                self.alone.add(table)

    def _where(self, level: Level) -> Int:
        return self.runner.regions.weights[level.first : level.first + level.rows]

    def _fits(self, level: Level) -> bool:
        """Whether sums are wide enough, and regions have a place each, or all the same one."""
        shape, number = level.shape, len(np.unique(self._where(level)))
        least = self.runner.tiles.wide[self.runner.precision != "ieee"]
        if min(shape.units, shape.width) < least:
            return False
        return number == level.rows or (number == 1 and shape.arity == 1)

    def _placed(self, level: Level) -> _Places:
        places = self._where(level)
        first, shared = int(places[0]), level.rows > 1 and bool((places == places[0]).all())
        number = 1 if shared else level.rows
        span = slice(first, first + number)
        alike = shared or np.array_equal(places, np.arange(first, first + number))
        rows = torch.from_numpy(places[:number].copy()).to(self.runner.device)
        return _Places(rows, span if alike else None, shared)

    def raw(self, batch: int) -> bool:
        """Whether entries of leaves' tables are read as they are, not from logarithms of all.

        That saves memory and, if most entries are not read, time.
        """
        regions = self.runner.regions
        read = batch * sum(each.rows * each.units for each in regions.inputs)
        return bool(self.levels) and len(regions.logs) == 1 and regions.sizes[2] > read

    def shared(self, tables: Sequence[Tensor]) -> dict[int, Tensor]:
        """Tables that several levels use, as matrix products take them."""
        used = self.tables - self.alone
        if self.runner.precision == "ieee":
            return {number: tables[number] for number in used}
        every = {n: torch.arange(len(tables[n]), device=self.runner.device) for n in used}
        return {number: self._round(tables[number], rows) for number, rows in every.items()}

    def _round(self, table: Tensor, rows: Tensor) -> Tensor:
        """Rows of a table, rounded."""
        out, size = table.new_empty(len(rows), *table.shape[1:]), table[0].numel()
        options = {"TILE": _TILE, "PRECISION": self.runner.precision}
        launch(
            _KERNELS.round_rows, (len(rows), -(-size // _TILE)), out, table, rows, size, **options
        )
        return out

    def _weights(
        self, level: Level, tables: Sequence[Tensor], shared: Mapping[int, Tensor]
    ) -> Tensor:
        """The weights of a level, shape (regions, units, fan-in), rounded."""
        places, number = self.levels[level.first], level.table
        ready = shared.get(number)
        if ready is None and self.runner.precision == "ieee":
            ready = tables[number]
        if ready is None:
            return self._round(tables[number], places.rows)
        return ready.index_select(0, places.rows) if places.span is None else ready[places.span]

    def forward(
        self, level: Level, tables: Sequence[Tensor], shared: Mapping[int, Tensor], logs: Tensor,
        kept: Kept, keep: bool,
    ) -> None:  # fmt: skip
        """Values of the regions of a level; terms are stored only if ``keep``."""
        runner, shape = self.runner, level.shape
        batch = kept.scales.shape[1]
        terms = (
            self._terms(level, kept) if keep else kept.values.new_empty(self._size(level, batch))
        )
        high, wide = _tile(shape.width)
        launch(
            _KERNELS.level_terms, (level.rows, -(-batch // high)),
            kept.values, kept.scales, terms, logs, kept.codes, *runner.leaves, runner.tables,
            runner.states, *runner.children, runner.values, runner.terms, level.first, batch,
            shape.width, shape.arity, WHOLE=shape.arity == 1 and shape.width <= wide,
            LONG=runner.regions.long(level), RAW=self.raw(batch), BB=high, BK=wide,
            PRECISION=runner.precision,
        )  # fmt: skip
        views = self._views(level, terms, kept)
        weights = self._weights(level, tables, shared)
        for a, (arm, own) in enumerate(views.arms(weights)):
            turned = own.transpose(1, 2)
            if a == 0:
                torch.bmm(arm, turned, out=views.values)
            else:
                torch.baddbmm(views.values, arm, turned, out=views.values)
        views.values.log_()

    def backward(
        self, level: Level, tables: Sequence[Tensor], shared: Mapping[int, Tensor], out: Tensor,
        kept: Kept, grad: Tensor,
    ) -> None:  # fmt: skip
        """Flows into the terms of a level, in their place, and gradients of weights.

        Gradients are added to ``out`` unless each of its places belongs to one region.
        """
        runner, shape, batch = self.runner, level.shape, len(grad)
        high, wide = _tile(shape.units)
        launch(
            _KERNELS.level_flows, (level.rows, -(-batch // high), -(-shape.units // wide)),
            kept.values, kept.terms, grad, *runner.readers, runner.values, level.first,
            len(kept.scales) - 1, batch, shape.units, BB=high, BM=wide, PRECISION=runner.precision,
        )  # fmt: skip
        views = self._views(level, self._terms(level, kept), kept)
        self._gradients(level, views, out)
        for arm, weights in views.arms(self._weights(level, tables, shared)):
            step = max(1, _MOST // arm[0].numel())
            for first in range(0, len(arm), step):
                part = slice(first, first + step)
                arm[part] *= torch.bmm(views.values[part], weights[part])

    def _gradients(self, level: Level, views: _Views, out: Tensor) -> None:
        """Gradients of the weights of a level."""
        places, add = self.levels[level.first], level.table not in self.alone
        turned = views.values.transpose(1, 2)
        if places.span is None:
            found = out.new_empty(level.rows, *out.shape[1:])
        else:
            found = out[places.span]
        for arm, to in views.arms(found):
            if places.span is not None and to.is_contiguous():
                torch.baddbmm(to, turned, arm, beta=float(add), out=to)
            elif places.span is not None and add:
                to += torch.bmm(turned, arm)
            else:
                to.copy_(torch.bmm(turned, arm))
        if places.span is None and add:
            out.index_add_(0, places.rows, found)
        elif places.span is None:
            out.index_copy_(0, places.rows, found)

    def _size(self, level: Level, batch: int) -> int:
        return level.rows * level.shape.arity * level.shape.width * batch

    def _terms(self, level: Level, kept: Kept) -> Tensor:
        """The terms of a level, flat."""
        regions, batch = self.runner.regions, kept.scales.shape[1]
        first = int(regions.products[regions.terms[level.first]]) * batch
        return kept.terms.data[first : first + self._size(level, batch)]

    def _views(self, level: Level, terms: Tensor, kept: Kept) -> _Views:
        shape, batch = level.shape, kept.scales.shape[1]
        first = int(self.runner.regions.values[level.first]) * batch
        values = kept.values.data[first : first + level.rows * batch * shape.units]
        rows, high = level.rows, batch
        if self.levels[level.first].shared:
            rows, high = 1, level.rows * batch
        return _Views(
            terms.view(rows, shape.arity, high, shape.width), values.view(rows, high, shape.units)
        )


def _tile(units: int) -> tuple[int, int]:
    """Rows of data and units of a program."""
    wide = min(_TILE, power_of_two(units))
    return max(1, _TILE // wide // 2), wide
