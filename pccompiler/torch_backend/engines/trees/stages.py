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
from pccompiler.torch_backend.runtime.nvrtc import (
    Argument,
    Defines,
    Kernel,
    Long,
    compile_ahead,
    load,
)

_AHEAD = 4
_KERNELS = Path(__file__).parent / "kernels"
_COMMON = _KERNELS / "warps.cuh"
_SOURCES = {
    "trees_up": (_COMMON, _KERNELS / "up.cu"),
    "trees_down": (_COMMON, _KERNELS / "down.cu"),
}
"""Each in a file of its own, since a call may need one alone."""
_BATCH = (_COMMON, _KERNELS / "batch.cu")
WARPS = 2
"""Warps per block."""
MIXERS = 16
"""Threads that share the sum over a mixture's roots."""
_NAMES = (
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
        self._kernels: dict[tuple[str, bool, Wanted], Kernel] = {}

    def arguments(self, lanes: int, codes: Tensor, weights: Tensor) -> list[Argument]:
        """The first arguments in both directions."""
        place: list[Argument] = [self.table, self.warps, self.first, Long(lanes)]
        return [*place, codes, codes.shape[1], weights]

    def kernel(self, name: str, complete: bool, wanted: Wanted) -> Kernel:
        """The stage's kernel of a name, for a question."""
        key = name, complete, wanted
        if key not in self._kernels:
            files, defines = _SOURCES[name], self.defines(name, complete, wanted)
            self._kernels[key] = load(self.table.device, files, defines, (name,))[name]
        return self._kernels[key]

    def begin(self, name: str, complete: bool, wanted: Wanted) -> None:
        """Begin to compile it."""
        defines = self.defines(name, complete, wanted)
        compile_ahead(self.table.device, _SOURCES[name], [defines])

    def batch(self, wanted: Wanted) -> dict[str, Kernel]:
        """The kernels of whole batches, which do not depend on the stage."""
        defines = self.defines("trees_down", True, wanted)
        return load(self.table.device, _BATCH, defines, _NAMES)

    def defines(self, name: str, complete: bool, wanted: Wanted) -> Defines:
        """Macros of a kernel. On the way up, all questions but that for best trees are one."""
        up = name == "trees_up" and wanted is not Wanted.BEST
        query = Query.NONE if up else _QUERIES.get(wanted, Query.NONE)
        return (
            ("K", self.units),
            ("DEPTH", self.depth),
            ("ENTRIES", self.stage.entries),
            ("LEAVES", int(self.stage.leaves)),
            ("PIECES", int(self.stage.pieces)),
            ("MISSING", int(not complete)),
            ("COUNTS", int(wanted is Wanted.COUNTS and not up)),
            ("QUERY", int(query)),
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
