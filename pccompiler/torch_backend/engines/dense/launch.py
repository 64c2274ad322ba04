"""Launches the dense kernels: one per level or chain each way, then one per shape for weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.engines.dense import kernels as dense_kernels
from pccompiler.torch_backend.engines.dense.buffers import Kept, Numbers, Precision
from pccompiler.torch_backend.engines.dense.chains import Chains
from pccompiler.torch_backend.engines.dense.parts import Chain
from pccompiler.torch_backend.engines.dense.regions import (
    Inputs,
    Level,
    Regions,
    Shape,
    members,
)
from pccompiler.torch_backend.engines.dense.tiles import Tile, Tiles, block
from pccompiler.torch_backend.engines.dense.unitwise import Unitwise

# Triton's launcher, ``kernel[grid](...)``, is untyped, hence ``Any`` for kernels.
_KERNELS: Any = dense_kernels
_SPLIT = 32
"""The most units for which flows are faster in split products than in float32 ones."""
_FEW = 4
"""The most states that are summed one by one, without a matrix product."""


class Runner(Numbers):
    """The arrays of `Regions` on one device, and the launches."""

    def __init__(
        self, regions: Regions, device: torch.device, precision: Precision, tiles: Tiles
    ) -> None:
        super().__init__(regions, device, precision, tiles)
        self.unitwise, self.chains = Unitwise(self), Chains(self)
        self.shapes = regions.sums_by_shape()
        self.rows = {shape: self._put(members(levels)) for shape, levels in self.shapes.items()}
        most = int(regions.states.max(initial=1))
        self.state_tile = _FEW if most <= _FEW else tiles.states
        self.blocks = -(-most // self.state_tile)
        edges = np.arange(self.blocks + 1) * self.state_tile
        self.edges = self._put(np.minimum(edges, regions.states[:, None])).to(torch.int32)

    def _tile(self, rows: int, batch: int, out: int, reads: int) -> Tile:
        return self.tiles.level(rows, batch, out, reads, self.precision != "ieee")

    def encode(self, x: Tensor) -> Tensor:
        """States of the leaf rows, shape (leaf rows, batch), -1 where missing."""
        codes = torch.nan_to_num(x, nan=-1.0).to(torch.int32)
        return codes.t().index_select(0, self.variables)

    def forward(
        self, x: Tensor, tables: Sequence[Tensor], given: Sequence[Tensor], keep: bool
    ) -> tuple[Tensor, Kept]:
        """Log-likelihoods, shape (batch,), and what `backward` needs."""
        batch, regions = len(x), self.regions
        units, products, cells = regions.sizes
        rows = len(regions.values)
        logs = self._empty(cells)
        for inputs in regions.inputs:
            self._log_tables(inputs, tables[inputs.use], logs)
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
            else:
                forward = self.unitwise.forward if level.shape.mixture else self._level
                forward(level, tables[level.use], logs, kept, batch, keep)
        return (kept.scales[-1] + kept.values[-batch:]).float(), kept

    def _empty(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.float32, device=self.device)

    def _log_tables(self, inputs: Inputs, table: Tensor, logs: Tensor) -> None:
        tile = min(64, block(max(inputs.units, inputs.states)))
        grid = (inputs.rows, -(-inputs.states // tile), -(-inputs.units // tile))
        _KERNELS.log_tables[grid](
            logs, table, inputs.offset, inputs.states, inputs.units, TILE=tile
        )

    def _level(
        self, level: Level, weights: Tensor, logs: Tensor, kept: Kept, batch: int, keep: bool
    ) -> None:
        shape = level.shape
        tile = self._tile(level.rows, batch, shape.units, shape.width)
        grid = (level.rows, -(-batch // tile.batch), -(-shape.units // tile.out))
        _KERNELS.forward_level[grid](
            kept.values, kept.scales, kept.terms, kept.tops, weights, logs, kept.codes,
            *self.leaves, self.tables, self.states, *self.children,
            self.values, self.terms, self.spots, level.first, batch, shape.units, shape.width,
            shape.arity, ONE=shape.arity == 1, LONG=self.regions.long(level), KEEP=keep,
            BB=tile.batch, BM=tile.out, BK=tile.step, PRECISION=self.products, num_warps=tile.warps,
        )  # fmt: skip

    def backward(
        self, grad: Tensor, kept: Kept, tables: Sequence[Tensor], counts: bool = False
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Gradients of tables and of given log-densities, from those of the log-likelihoods.

        With ``counts``, those of leaf rows are multiplied by their tables.
        """
        found = [table.new_empty(0) for table in tables]
        flows = torch.empty_like(kept.terms)
        for level in reversed(self.chains.parts):
            if isinstance(level, Chain):
                self.chains.backward(level, tables, flows, grad, kept)
            elif level.shape.mixture:
                weights = tables[level.use]
                found[level.use] = self.unitwise.backward(level, weights, flows, grad, kept)
            else:
                self._flow(level, tables[level.use], flows, grad, kept)
        for shape, levels in self.shapes.items():
            out = grad.new_empty(sum(level.rows for level in levels), shape.units, shape.columns)
            self._weights(shape, out, flows, grad, kept)
            for level, piece in zip(levels, out.split([e.rows for e in levels]), strict=True):
                found[level.use] = piece
        missing = kept.codes < 0
        codes, order = torch.sort(kept.codes.masked_fill(missing, 2**30), dim=1, stable=True)
        bounds = torch.searchsorted(codes, self.edges)
        for inputs in self.regions.inputs:
            found[inputs.use] = out = torch.empty_like(tables[inputs.use])
            self._tables(inputs, out, tables[inputs.use], flows, (order, codes, bounds), counts)
        root = len(kept.scales) - 1
        return found, [self.unitwise.given(e, flows, grad, root) for e in self.regions.given]

    def _flow(self, level: Level, weights: Tensor, flows: Tensor, grad: Tensor, kept: Kept) -> None:
        shape, batch = level.shape, len(grad)
        tile = self._tile(level.rows * shape.arity, batch, shape.width, shape.units)
        columns = shape.arity * -(-shape.width // tile.out)
        precision = self.products if shape.width <= _SPLIT else self.precision
        grid = (level.rows, -(-batch // tile.batch), columns)
        _KERNELS.flow_level[grid](
            flows, kept.values, kept.terms, kept.tops, weights, grad, *self.readers,
            self.values, self.terms, self.spots, level.first, len(kept.scales) - 1, batch,
            shape.units, shape.width, shape.arity,
            BB=tile.batch, BM=tile.step, BK=tile.out, PRECISION=precision, num_warps=tile.warps,
        )  # fmt: skip

    def _weights(self, shape: Shape, out: Tensor, flows: Tensor, grad: Tensor, kept: Kept) -> None:
        tiles, batch = self.tiles, len(grad)
        high, wide = (
            block(size, most)
            for size, most in zip((shape.units, shape.width), tiles.gradient, strict=True)
        )
        grid = (len(out), -(-shape.units // high), shape.arity * -(-shape.width // wide))
        _KERNELS.weight_gradients[grid](
            out, flows, kept.values, kept.terms, kept.tops, grad, self.rows[shape],
            *self.readers, self.values, self.terms, self.spots, len(kept.scales) - 1, batch,
            shape.units, shape.width, shape.arity,
            BB=block(batch, tiles.gradient_batch), BM=high, BK=wide,
            PRECISION=self.precision, num_warps=tiles.gradient_warps,
        )  # fmt: skip

    def _tables(
        self, inputs: Inputs, out: Tensor, table: Tensor, flows: Tensor,
        data: tuple[Tensor, Tensor, Tensor], counts: bool,
    ) -> None:  # fmt: skip
        tiles, batch = self.tiles, data[0].shape[1]
        wide = block(inputs.units, tiles.out)
        grid = (inputs.rows, -(-inputs.states // self.state_tile), -(-inputs.units // wide))
        _KERNELS.table_gradients[grid](
            out, table, flows, *data, *self.takers, inputs.first, batch, inputs.units,
            inputs.states,
            BLOCKS=self.blocks, BS=self.state_tile, BK=wide, BB=block(batch, tiles.state_batch),
            COUNTS=counts,
            PRECISION="ieee" if self.precision == "ieee" else "tf32",
        )  # fmt: skip
