"""Launches the kernels of regions that mix unit by unit, and of given regions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pccompiler.ir.arrays import power_of_two
from pccompiler.torch_backend.engines.dense.buffers import Kept, Numbers
from pccompiler.torch_backend.engines.dense.compiling import launch
from pccompiler.torch_backend.engines.dense.kernels import mixtures as dense_mixtures
from pccompiler.torch_backend.engines.dense.regions import Given, Level
from pccompiler.torch_backend.values import finite

_KERNELS: Any = dense_mixtures
_TILE = 2048
"""Size of a program's tile, unless one row of data is larger."""
_WIDE = 128


class Unitwise:
    """The launches of mixtures and given regions for one runner."""

    def __init__(self, runner: Numbers) -> None:
        self.runner = runner

    def give(self, given: Given, density: Tensor, kept: Kept) -> None:
        """Store log-densities, shape (rows, units, batch), as the values of their regions."""
        regions = self.runner.regions
        top = finite(density.amax(1))
        kept.scales[given.first : given.first + given.rows] = top
        batch = density.shape[2]
        first = int(regions.values[given.first]) * batch
        spot = kept.values[first : first + density.numel()].view(given.rows, batch, given.units)
        torch.sub(density.transpose(1, 2), top.unsqueeze(2), out=spot)

    def forward(
        self, level: Level, weights: Tensor, logs: Tensor, kept: Kept, batch: int, keep: bool,
        raw: bool,
    ) -> None:  # fmt: skip
        """Values of the mixtures of a level."""
        runner, shape = self.runner, level.shape
        wide = power_of_two(shape.units)
        high = max(1, min(64, _TILE // wide))
        launch(
            _KERNELS.forward_mixture, (level.rows, -(-batch // high)),
            kept.values, kept.scales, kept.terms, kept.tops, weights, logs, kept.codes,
            *runner.leaves, runner.tables, runner.states, *runner.children,
            runner.values, runner.terms, runner.weights, runner.spots, level.first, batch,
            shape.units, shape.arity, LONG=runner.regions.long(level), RAW=raw, KEEP=keep,
            BB=high, BK=wide,
        )  # fmt: skip

    def flow(self, level: Level, weights: Tensor, flows: Tensor, grad: Tensor, kept: Kept) -> None:
        """Flows into the terms of a level's mixtures."""
        runner, shape, batch = self.runner, level.shape, len(grad)
        high, wide = tile_of(shape.units)
        blocks, tiles = -(-batch // high), -(-shape.units // wide)
        launch(
            _KERNELS.flow_mixture, (level.rows, blocks, tiles),
            flows, kept.values, kept.terms, kept.tops, weights, grad, *runner.readers,
            runner.values, runner.terms, runner.weights, runner.spots, level.first,
            len(kept.scales) - 1, batch, shape.units, shape.arity, BB=high, BK=wide,
        )  # fmt: skip

    def given(self, given: Given, flows: Tensor, grad: Tensor, root: int) -> Tensor:
        """Gradients of log-densities, shape (rows, units, batch)."""
        batch = len(grad)
        high, wide = tile_of(given.units)
        out = grad.new_empty(given.rows, batch, given.units)
        launch(
            _KERNELS.given_gradients, (given.rows, -(-batch // high), -(-given.units // wide)),
            out, flows, grad, *self.runner.readers, given.first, root, batch, given.units,
            BB=high, BK=wide,
        )  # fmt: skip
        return out.transpose(1, 2)


def tile_of(units: int) -> tuple[int, int]:
    """Rows of data and units of a program."""
    wide = min(_WIDE, power_of_two(units))
    return min(64, _TILE // wide), wide
