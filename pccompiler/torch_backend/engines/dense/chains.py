"""Chains: levels whose regions each mix one region below and leaf rows, as in hidden Markov models.

Level by level, each step of a sequence would be a launch with little work.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from pccompiler.torch_backend.engines.dense.buffers import Kept, Numbers
from pccompiler.torch_backend.engines.dense.compiling import launch
from pccompiler.torch_backend.engines.dense.kernels import chains as dense_chain_kernels
from pccompiler.torch_backend.engines.dense.parts import MOST_UNITS, Chain, others_of, with_chains
from pccompiler.torch_backend.engines.dense.regions import Level, Lists
from pccompiler.torch_backend.engines.dense.tiles import block

_KERNELS: Any = dense_chain_kernels
_ROWS = (16, 64)
"""Minimum and maximum rows of data in a program."""
_WARPS = 8


class Chains:
    """The launches of chains for one runner; with wide levels, there are none."""

    def __init__(self, runner: Numbers, wide: bool) -> None:
        self.runner = runner
        regions = runner.regions
        self.parts: list[Level | Chain] = list(regions.levels) if wide else with_chains(regions)
        others: list[list[int]] = [[] for _ in regions.products]
        for chain in self.parts:
            for level in chain.levels if isinstance(chain, Chain) else ():
                for row in range(level.first, level.first + level.rows):
                    term = int(regions.terms[row])
                    others[term] = others_of(regions.children, term, row - level.rows).tolist()
        self.others = runner.lists(Lists.of(others))

    def forward(
        self, chain: Chain, tables: Sequence[Tensor], logs: Tensor, kept: Kept, keep: bool
    ) -> None:
        """Values of all regions of the chain."""
        runner, first = self.runner, chain.levels[0]
        batch = kept.scales.shape[1]
        grid, options = self._program(first, batch)
        launch(
            _KERNELS.forward_chain, grid,
            kept.values, kept.scales, kept.terms, kept.tops, tables[first.table], logs,
            kept.codes, *runner.leaves, runner.tables, runner.states, *self.others,
            runner.values, runner.terms, runner.weights, runner.spots, first.first, first.rows,
            len(chain.levels), batch, first.shape.units,
            LONG=any(map(runner.regions.long, chain.levels)), KEEP=keep, **options,
        )  # fmt: skip

    def backward(
        self, chain: Chain, tables: Sequence[Tensor], flows: Tensor, grad: Tensor, kept: Kept
    ) -> None:
        """Flows into all terms of the chain."""
        runner, last, batch = self.runner, chain.levels[-1], len(grad)
        grid, options = self._program(last, batch)
        launch(
            _KERNELS.flow_chain, grid,
            flows, kept.values, kept.terms, kept.tops, tables[last.table], grad,
            *runner.readers, runner.values, runner.terms, runner.weights, runner.spots, last.first,
            len(kept.scales) - 1, last.rows, len(chain.levels), batch, last.shape.units,
            **options,
        )  # fmt: skip

    def _program(self, level: Level, batch: int) -> tuple[tuple[int, int], dict[str, Any]]:
        """The grid, and the options of a program."""
        runner, (high, most) = self.runner, _ROWS
        while high < most and level.rows * -(-batch // (2 * high)) >= runner.tiles.programs:
            high *= 2
        wide = block(level.shape.units, MOST_UNITS)
        options = {"BB": high, "BK": wide, "PRECISION": runner.products, "num_warps": _WARPS}
        return (level.rows, -(-batch // high)), options
