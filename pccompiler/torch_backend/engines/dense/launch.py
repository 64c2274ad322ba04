"""Launches the dense kernels: one per level or chain each way, then one per shape for weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from pccompiler.torch_backend.engines.dense.buffers import Kept, Numbers, Precision
from pccompiler.torch_backend.engines.dense.chains import Chains
from pccompiler.torch_backend.engines.dense.compiling import launch, together
from pccompiler.torch_backend.engines.dense.gradients import Gradients
from pccompiler.torch_backend.engines.dense.kernels import levels as dense_kernels
from pccompiler.torch_backend.engines.dense.parts import Chain
from pccompiler.torch_backend.engines.dense.regions import Level, Regions
from pccompiler.torch_backend.engines.dense.tiles import Tile, Tiles, block
from pccompiler.torch_backend.engines.dense.unitwise import Unitwise
from pccompiler.torch_backend.engines.dense.wide import Wide

# Triton's launcher, ``kernel[grid](...)``, is untyped, hence ``Any`` for kernels.
_KERNELS: Any = dense_kernels
_SPLIT = 32
"""The most units for which flows are faster in split products than in float32 ones."""


class Runner(Numbers):
    """The arrays of `Regions` on one device, and the launches."""

    def __init__(
        self, regions: Regions, device: torch.device, precision: Precision, tiles: Tiles
    ) -> None:
        super().__init__(regions, device, precision, tiles)
        self.unitwise, self.wide = Unitwise(self), Wide(self)
        self.chains = Chains(self, bool(self.wide.levels))
        self.gradients = Gradients(self)

    def _tile(self, rows: int, batch: int, out: int, reads: int) -> Tile:
        return self.tiles.level(rows, batch, out, reads, self.precision != "ieee")

    def encode(self, x: Tensor) -> Tensor:
        """States of the leaf rows, shape (leaf rows, batch), -1 where missing."""
        codes = torch.nan_to_num(x, nan=-1.0).to(torch.int32)
        return codes.t().index_select(0, self.variables)

    def forward(
        self, x: Tensor, tables: Sequence[Tensor], given: Sequence[Tensor], keep: bool
    ) -> tuple[Tensor, Kept]:
        """Log-likelihoods, shape (batch,), and what `backward` needs.

        Args:
            x: Shape (batch, variables), NaN where missing.
            tables: One for each of `Regions.groups`, shape (places, units, fan-in or states).
            given: Log-densities of given regions.
            keep: Whether `backward` follows.
        """
        batch, regions = len(x), self.regions
        units, products, cells = regions.sizes
        rows = len(regions.values)
        if raw := self.wide.raw(batch):
            logs = tables[next(iter(regions.logs))]
        else:
            logs = self._empty(cells)
            for number, offset in regions.logs.items():
                self._log_tables(tables[number], offset, logs)
        shared = self.wide.shared(tables)
        kept = Kept(
            self.encode(x),
            self._empty(units * batch),
            torch.empty(rows, batch, dtype=torch.float64, device=self.device),
            self._empty(products * batch if keep else 1),
            self._empty(rows * batch if keep else 1),
        )
        for each, density in zip(regions.given, given, strict=True):
            self.unitwise.give(each, density, kept)
        for level in self.chains.parts:
            if isinstance(level, Chain):
                self.chains.forward(level, tables, logs, kept, keep)
            elif level.first in self.wide.levels:
                self.wide.forward(level, tables, shared, logs, kept, keep)
            else:
                forward = self.unitwise.forward if level.shape.mixture else self._level
                forward(level, tables[level.table], logs, kept, batch, keep, raw)
        return (kept.scales[-1] + kept.values[-batch:]).float(), kept

    def compile(
        self, x: Tensor, tables: Sequence[Tensor], given: Sequence[Tensor], keep: bool, counts: bool
    ) -> None:
        """Compile what `forward` and, if ``keep``, `backward` will launch."""
        with together():
            _, kept = self.forward(x, tables, given, keep)
            if keep:
                self.backward(self._empty(len(x)), kept, tables, counts)

    def _empty(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.float32, device=self.device)

    def _log_tables(self, table: Tensor, offset: int, logs: Tensor) -> None:
        rows, units, states = table.shape
        tile = min(64, block(max(units, states)))
        grid = (rows, -(-states // tile), -(-units // tile))
        launch(_KERNELS.log_tables, grid, logs, table, offset, states, units, TILE=tile)

    def _level(
        self, level: Level, weights: Tensor, logs: Tensor, kept: Kept, batch: int, keep: bool,
        raw: bool,
    ) -> None:  # fmt: skip
        shape = level.shape
        tile = self._tile(level.rows, batch, shape.units, shape.width)
        grid = (level.rows, -(-batch // tile.batch), -(-shape.units // tile.out))
        launch(
            _KERNELS.forward_level, grid,
            kept.values, kept.scales, kept.terms, kept.tops, weights, logs, kept.codes,
            *self.leaves, self.tables, self.states, *self.children,
            self.values, self.terms, self.weights, self.spots, level.first, batch, shape.units,
            shape.width, shape.arity, ONE=shape.arity == 1, LONG=self.regions.long(level),
            RAW=raw, KEEP=keep, BB=tile.batch, BM=tile.out, BK=tile.step, PRECISION=self.products,
            num_warps=tile.warps,
        )  # fmt: skip

    def backward(
        self, grad: Tensor, kept: Kept, tables: Sequence[Tensor], counts: bool = False
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Gradients of tables and of given log-densities, from those of the log-likelihoods.

        With ``counts``, those of tables are multiplied by the tables.
        """
        if self.in_place(len(grad)):
            flows, found = kept.terms, self._in_place(grad, kept, tables, counts)
        else:
            flows = torch.empty_like(kept.terms)
            for level in reversed(self.chains.parts):
                if isinstance(level, Chain):
                    self.chains.backward(level, tables, flows, grad, kept)
                else:
                    self._down(level)(level, tables[level.table], flows, grad, kept)
            found = self.gradients(tables, flows, grad, kept, counts)
        root = len(kept.scales) - 1
        return found, [self.unitwise.given(e, flows, grad, root) for e in self.regions.given]

    def in_place(self, batch: int) -> bool:
        """Whether flows take the place of terms: with wide levels, or to save memory."""
        if self.wide.levels:
            return True
        alone = all(isinstance(part, Level) for part in self.chains.parts)
        return alone and self.regions.sizes[1] * batch >= self.tiles.large

    def _in_place(
        self, grad: Tensor, kept: Kept, tables: Sequence[Tensor], counts: bool
    ) -> list[Tensor]:
        """Gradients of tables, level by level; flows take the place of terms."""
        wide, shared = self.wide, self.wide.shared(tables)
        found = [
            torch.zeros_like(table) if n in wide.tables - wide.alone else torch.empty_like(table)
            for n, table in enumerate(tables)
        ]
        begun: set[int] = set()
        for level in self.regions.levels[::-1]:
            number = level.table
            if level.first in wide.levels:
                wide.backward(level, tables, shared, found[number], kept, grad)
            else:
                self.gradients.level(level, found, tables, grad, kept, counts, begun)
                self._down(level)(level, tables[number], kept.terms, grad, kept)
        for number in wide.tables if counts else ():
            found[number] *= tables[number]
        self.gradients.finish(found, tables, kept.terms, kept, counts, begun | wide.tables)
        return found

    def _down(self, level: Level) -> Callable[[Level, Tensor, Tensor, Tensor, Kept], None]:
        """What finds the flows into the terms of a level."""
        return self.unitwise.flow if level.shape.mixture else self._flow

    def _flow(self, level: Level, weights: Tensor, flows: Tensor, grad: Tensor, kept: Kept) -> None:
        shape, batch = level.shape, len(grad)
        tile = self._tile(level.rows * shape.arity, batch, shape.width, shape.units)
        columns = shape.arity * -(-shape.width // tile.out)
        precision = self.products if shape.width <= _SPLIT else self.precision
        grid = (level.rows, -(-batch // tile.batch), columns)
        launch(
            _KERNELS.flow_level, grid,
            flows, kept.values, kept.terms, kept.tops, weights, grad, *self.readers,
            self.values, self.terms, self.weights, self.spots, level.first, len(kept.scales) - 1,
            batch, shape.units, shape.width, shape.arity,
            BB=tile.batch, BM=tile.step, BK=tile.out, PRECISION=precision, num_warps=tile.warps,
        )  # fmt: skip
