"""Launches the CUDA kernels for trees of regions: one region per lane, with rows streaming by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.engines.trees.match import Child
from pccompiler.torch_backend.engines.trees.warps import (
    OPERAND,
    WARP,
    Arrangement,
    Field,
    Role,
    Stage,
)
from pccompiler.torch_backend.runtime.macros import macros
from pccompiler.torch_backend.runtime.nvrtc import Argument, Kernel, Long, load

_WARPS = 2
"""Warps per block."""
_FILL = 14
"""Warps per multiprocessor, enough to hide latencies."""
_AHEAD = 4
_KERNELS = Path(__file__).parent / "kernels"
_FILES = tuple(_KERNELS / name for name in ("warps.cuh", "up.cu", "down.cu", "batch.cu"))
_FEW = 4
"""The most parts of the batch that readers of gradients sum themselves."""
_MIXERS = 16
"""Threads that share the sum over a mixture's roots."""
_NAMES = (
    "trees_up",
    "trees_down",
    "collect",
    "collect_many",
    "pack_states",
    "mix_up",
    "mix_down",
)


class Launcher:
    """The trees of a plan on a device; weights and their gradients are (components, lanes)."""

    def __init__(self, trees: Arrangement, device: torch.device) -> None:
        self.trees, self.device = trees, device
        self.lanes, self.wide = trees.lanes, (trees.units + 4) & ~3
        self.components = trees.units**2 + 4 * trees.units
        self.stages: list[_Stage] = []
        first = 0
        for stage in trees.stages:
            self.stages.append(_Stage(stage, first, trees.units, device))
            first += stage.weight.size
        self.processors = torch.cuda.get_device_properties(device).multi_processor_count
        self._parts: dict[tuple[int, int], tuple[int, int]] = {}
        self._places: dict[int, tuple[Tensor, Tensor]] = {}
        self.kernels = self.stages[0].kernels(complete=True)

    def pack(self, x: Tensor, complete: bool) -> Tensor:
        """States with two bits per value, shape (variables, words), from rows (batch, variables).

        If ``complete``, kernels have no tables for missing values, so NaN counts as state 0.
        """
        batch, variables = x.shape
        words = -(-batch // 16) + 4  # 16 empty rows before, more after
        out = torch.empty(variables, words, dtype=torch.int32, device=x.device)
        gone = 0 if complete else 2
        arguments: list[Argument] = [x.contiguous(), out, batch, variables, words, gone]
        self.kernels["pack_states"]((-(-variables // 128), words), (128, 1), 0, arguments)
        return out

    def up(self, codes: Tensor, batch: int, weights: Tensor, complete: bool) -> tuple[Tensor, ...]:
        """Log-values of roots, shape (roots, batch), and values of pieces."""
        pieces = weights.new_empty(self.trees.pieces, batch, self.wide)
        roots = weights.new_empty(self.trees.roots, batch)
        for stage in self.stages:
            parts, part = self.parts(stage, batch)
            arguments: list[Argument] = [
                *stage.arguments(self.lanes, codes, weights),
                pieces,
                roots,
                batch,
                part,
            ]
            up = stage.kernels(complete)["trees_up"]
            up((stage.blocks, parts), (32 * _WARPS, 1), stage.bytes(complete)[0], arguments)
        return roots, pieces

    def down(
        self, codes: Tensor, weights: Tensor, pieces: Tensor, flows: Tensor, complete: bool,
        counts: bool = False,
    ) -> Tensor:  # fmt: skip
        """Gradients of weights, stage by stage, for each part of the batch; see `places`.

        With ``counts``, expected counts: weights times gradients, without missing values of leaves.
        """
        batch = flows.shape[1]
        piece_flows = torch.empty_like(pieces)
        sizes = self._sizes(batch)
        found = flows.new_empty(sum(sizes))
        own = found.split(sizes)
        for stage, mine in zip(reversed(self.stages), reversed(own), strict=True):
            parts, part = self.parts(stage, batch)
            arguments = stage.arguments(self.lanes, codes, weights)
            arguments += [pieces, flows, piece_flows, mine, batch, part]
            down = stage.kernels(complete, counts)["trees_down"]
            down((stage.blocks, parts), (32 * _WARPS, 1), stage.bytes(complete)[1], arguments)
        self._collect_many(found, batch)
        return found

    def _collect_many(self, found: Tensor, batch: int) -> None:
        """Sum over the parts of the stages that have many."""
        many = [stage.first for stage in self.stages if self.parts(stage, batch)[0] > _FEW]
        if not many:
            return
        first = min(many)
        places = self._all_places(batch)[0]
        arguments: list[Argument] = [found, Long(first), Long(self.lanes), places, _FEW]
        blocks = (-(-(self.lanes - first) // 128), self.components)
        self.kernels["collect_many"](blocks, (128, 1), 0, arguments)

    def collect(self, found: Tensor, batch: int) -> Tensor:
        """Sums over the parts, shape (components, lanes)."""
        out = found.new_empty(self.components, self.lanes)
        arguments: list[Argument] = [found, out, Long(self.lanes), self.places(batch)]
        blocks = (-(-self.lanes // 128), self.components)
        self.kernels["collect"](blocks, (128, 1), 0, arguments)
        return out

    def places(self, batch: int) -> Tensor:
        """Where `down` writes the gradients of each warp's lanes, shape (warps, 3).

        The columns are the number of parts, the lanes of the stage, and the start of the stage less
        its first lane. Gradients of a stage have the shape (parts, components, lanes of the stage).
        """
        return self._all_places(batch)[1]

    def _all_places(self, batch: int) -> tuple[Tensor, Tensor]:
        """`places` before and after `_collect_many`, which merges many parts into one."""
        if batch not in self._places:
            starts = np.cumsum([0, *self._sizes(batch)])
            entries = [
                (self.parts(stage, batch)[0], 32 * stage.warps, start - stage.first)
                for stage, start in zip(self.stages, starts[:-1].tolist(), strict=True)
            ]
            table = np.repeat(np.array(entries), [stage.warps for stage in self.stages], axis=0)
            after = table.copy()
            after[after[:, 0] > _FEW, 0] = 1
            before, then = (torch.from_numpy(t).to(self.device) for t in (table, after))
            self._places[batch] = before, then
        return self._places[batch]

    def _sizes(self, batch: int) -> list[int]:
        each = [self.parts(stage, batch)[0] * stage.warps * WARP for stage in self.stages]
        return [self.components * number for number in each]

    def mix(self, roots: Tensor, share: Tensor) -> Tensor:
        """Log-values of a mixture, shape (batch,), from log-values (roots, batch)."""
        number, batch = roots.shape
        out = roots.new_empty(batch)
        arguments: list[Argument] = [roots, share, number, batch, out]
        self.kernels["mix_up"]((-(-batch // 32), 1), (32, _MIXERS), 0, arguments)
        return out

    def unmix(
        self, roots: Tensor, share: Tensor, values: Tensor, above: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Flows of roots and gradients of mixture weights."""
        flows, out = torch.empty_like(roots), torch.empty_like(share)
        arguments: list[Argument] = [roots, share, values, above, roots.shape[1], flows, out]
        self.kernels["mix_down"]((len(roots), 1), (128, 1), 0, arguments)
        return flows, out

    def parts(self, stage: _Stage, batch: int) -> tuple[int, int]:
        """Number of parts of the batch that a stage runs in parallel, and rows of each (16 n)."""
        if (stage.first, batch) not in self._parts:

            def cost(part: int) -> int:
                waves: int = -(-stage.warps * -(-batch // part) // (_FILL * self.processors))
                return waves * (part + 2 * stage.depth + 16)

            part = min(range(16, batch + 16, 16), key=cost)
            self._parts[stage.first, batch] = -(-batch // part), part
        return self._parts[stage.first, batch]


class _Stage:
    """One launch in each direction; its lanes are ``first``, ``first + 1``, ..."""

    def __init__(self, stage: Stage, first: int, units: int, device: torch.device) -> None:
        self.stage, self.first, self.units = stage, first, units
        self.table = torch.from_numpy(stage.table.astype(np.int32)).to(device)
        self.warps, self.depth = stage.weight.shape[0], stage.depth
        self.blocks = -(-self.warps // _WARPS)
        self._kernels: dict[tuple[bool, bool], dict[str, Kernel]] = {}

    def arguments(self, lanes: int, codes: Tensor, weights: Tensor) -> list[Argument]:
        """The first arguments in both directions."""
        place: list[Argument] = [self.table, self.warps, self.first, Long(lanes)]
        return [*place, codes, codes.shape[1], weights]

    def kernels(self, complete: bool, counts: bool = False) -> dict[str, Kernel]:
        """The kernels compiled for the stage."""
        if (complete, counts) not in self._kernels:
            defines = (
                ("K", self.units),
                ("DEPTH", self.depth),
                ("ENTRIES", self.stage.entries),
                ("LEAVES", int(self.stage.leaves)),
                ("PIECES", int(self.stage.pieces)),
                ("MISSING", int(not complete)),
                ("COUNTS", int(counts)),
                ("WARPS", _WARPS),
                ("MIXERS", _MIXERS),
                ("OPERAND", OPERAND),
                *macros(Child, Field, Role),
            )
            made = load(self.table.device, _FILES, defines, _NAMES)
            self._kernels[complete, counts] = made
        return self._kernels[complete, counts]

    def bytes(self, complete: bool) -> tuple[int, int]:
        """Shared memory of a block, up and down; up.cu and down.cu describe its layout."""
        leaves = 4 if complete else 6
        wide = (self.units + 4) & ~3
        buffers = 2 * _AHEAD * wide if self.stage.pieces else 0
        up = (self.depth + 1 + leaves) * (self.units + 1)
        slots = 2 * self.depth + 1
        down = (2 * slots + leaves + -(-self.stage.entries // 8)) * self.units
        return 128 * _WARPS * (up + buffers), 128 * _WARPS * (down + buffers)
