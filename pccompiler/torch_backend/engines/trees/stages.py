"""The kernels of one stage of trees on a GPU."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.engines.trees.lanes import OPERAND, Field, Role
from pccompiler.torch_backend.engines.trees.match import Child
from pccompiler.torch_backend.engines.trees.warps import Stage
from pccompiler.torch_backend.runtime.macros import macros
from pccompiler.torch_backend.runtime.nvrtc import Argument, Defines, Kernel, Long, load

_AHEAD = 4
_KERNELS = Path(__file__).parent / "kernels"
FILES = tuple(_KERNELS / name for name in ("warps.cuh", "up.cu", "down.cu", "batch.cu"))
WARPS = 2
"""Warps per block."""
MIXERS = 16
"""Threads that share the sum over a mixture's roots."""
_NAMES = (
    "trees_up",
    "trees_down",
    "collect",
    "collect_many",
    "pack_states",
    "mix_up",
    "mix_down",
    "choose_roots",
    "add_leaves",
)


class Query(IntEnum):
    """What kernels compute instead of gradients."""

    NONE = 0
    POSTERIOR = 1
    DRAWS = 2
    BEST = 3


_QUERIES = {
    Wanted.POSTERIOR: Query.POSTERIOR,
    Wanted.DRAWS: Query.DRAWS,
    Wanted.BEST: Query.BEST,
}


class LaunchedStage:
    """One launch in each direction; its lanes are ``first``, ``first + 1``, ..."""

    def __init__(self, stage: Stage, first: int, units: int, device: torch.device) -> None:
        self.stage, self.first, self.units = stage, first, units
        self.table = torch.from_numpy(stage.table.astype(np.int32)).to(device)
        self.warps, self.depth = stage.weight.shape[0], stage.depth
        self.blocks = -(-self.warps // WARPS)
        self._kernels: dict[tuple[bool, Wanted], dict[str, Kernel]] = {}

    def arguments(self, lanes: int, codes: Tensor, weights: Tensor) -> list[Argument]:
        """The first arguments in both directions."""
        place: list[Argument] = [self.table, self.warps, self.first, Long(lanes)]
        return [*place, codes, codes.shape[1], weights]

    def kernels(self, complete: bool, wanted: Wanted = Wanted.VALUE) -> dict[str, Kernel]:
        """The kernels compiled for the stage."""
        if (complete, wanted) not in self._kernels:
            defines = self.defines(complete, wanted)
            self._kernels[complete, wanted] = load(self.table.device, FILES, defines, _NAMES)
        return self._kernels[complete, wanted]

    def defines(self, complete: bool, wanted: Wanted) -> Defines:
        """Macros of its kernels."""
        return (
            ("K", self.units),
            ("DEPTH", self.depth),
            ("ENTRIES", self.stage.entries),
            ("LEAVES", int(self.stage.leaves)),
            ("PIECES", int(self.stage.pieces)),
            ("MISSING", int(not complete)),
            ("COUNTS", int(wanted is Wanted.COUNTS)),
            ("QUERY", int(_QUERIES.get(wanted, Query.NONE))),
            ("WARPS", WARPS),
            ("MIXERS", MIXERS),
            ("OPERAND", OPERAND),
            *macros(Child, Field, Role, Query),
        )

    def bytes(self, complete: bool) -> tuple[int, int]:
        """Shared memory of a block, up and down; up.cu and down.cu describe its layout."""
        leaves = 4 if complete else 6
        wide = (self.units + 4) & ~3
        buffers = 2 * _AHEAD * wide if self.stage.pieces else 0
        up = (self.depth + 1 + leaves) * (self.units + 1)
        slots = 2 * self.depth + 1
        down = (2 * slots + leaves + -(-self.stage.entries // 8)) * self.units
        return 128 * WARPS * (up + buffers), 128 * WARPS * (down + buffers)
