"""The trees of a circuit with their weights and the rows of a call, as the C code wants them."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.engines.questions import Task, Wanted
from pccompiler.torch_backend.engines.trees.match import Child, RegionTrees
from pccompiler.torch_backend.engines.trees.tables import rows_of, separate, tables_of
from pccompiler.torch_backend.runtime.c_compiler import load_c
from pccompiler.torch_backend.runtime.macros import macros
from pccompiler.torch_backend.runtime.threads import threads_for
from pccompiler.torch_backend.weights.weights import Weights

_SOURCE = Path(__file__).parent / "kernels" / "trees.c"
_BLOCKS = (1, 32, 64)
"""Rows of a block for one or two, few, and many; between 1 and 32, compilers do not vectorize."""
_local = threading.local()


class _Trees(ctypes.Structure):
    """See kernels/trees.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("starts", "weight", "parent", "kind", "source")),
        *((name, ctypes.c_void_p) for name in ("leaf", "input", "square", "top", "leaves")),
        *((name, ctypes.c_void_p) for name in ("zero", "one")),
        *((name, ctypes.c_int64) for name in ("rows", "counts", "best")),
    )


class _Choice(ctypes.Structure):
    """See kernels/trees.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("root", "chosen")),
        *((name, ctypes.c_int64) for name in ("rows", "numbers")),
        ("key", ctypes.c_uint64),
    )


_P, _N, _I = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_FUNCTIONS = (
    ("states", (_P, _N, _N, _N, _P, _P)),
    ("trees_up", (_P, _I, _I, _P, _N, _P)),
    ("trees_down", (_P, _I, _I, _P, _N, _P, _P, _P, _P)),
    ("trees_leaves", (_P, _I, _I, _P, _N, _P, _P)),
    ("trees_choose", (_P, _I, _I, _P, _N, _P, _N, _P, _N)),
    ("mix_up", (_P, _P, _N, _N, _N, _N, _P)),
    ("mix_down", (_P, _P, _P, _P, _N, _N, _N, _P, _P)),
    ("mix_choose", (_P, _P, _N, _N, _N, _N, _P, _P)),
)


class Forest:
    """The regions of a plan, and the C functions for them.

    Attributes:
        groups: Weight groups of regions, roots and leaves (-1: none).
        inputs: Rows of all input layers.
    """

    def __init__(self, regions: RegionTrees, weights: Weights) -> None:
        self.units, self.groups = regions.units, regions.groups
        self.tables = tables_of(regions, {group: rows_of(weights, group) for group in self.groups})
        self.separate = separate(self.tables)
        self.trees = len(self.tables["starts"]) - 1
        self.most_regions = int(np.diff(self.tables["starts"]).max())
        self.inputs = 1 + int(self.tables["input"].max(initial=-1))
        self.libraries: dict[int, ctypes.CDLL] = {}

    def library(self, block: int = _BLOCKS[-1]) -> ctypes.CDLL:
        """The functions compiled for blocks of ``block`` rows.

        Raises:
            KernelError: If there is no C compiler, or it fails.
        """
        known = self.libraries.get(block)
        if known is None:
            defines = ("K", self.units), ("B", block), *macros(Child)
            known = load_c(_SOURCE, defines, _FUNCTIONS, reorder=True, parallel=True)
            self.libraries[block] = known
        return known

    @cached_property
    def own(self) -> list[int]:
        """The groups of regions, roots and leaves, each once."""
        return [group for group in dict.fromkeys(self.groups) if group >= 0]

    def named(self, given: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of regions, roots and leaves; the same tensor if they share a group."""
        by_group = dict(zip(self.own, given, strict=True))
        square, root, leaf = (by_group.get(group, given[0]) for group in self.groups)
        return square, root, leaf


class Blocks:
    """The trees with their weights and the rows of one call, cut into blocks."""

    def __init__(self, forest: Forest, x: Tensor, given: Sequence[Tensor], wanted: Wanted) -> None:
        self.forest, self.batch = forest, len(x)
        block = _BLOCKS[(self.batch > 2) + (self.batch > _BLOCKS[1])]
        self.library, self.block = forest.library(block), block
        self.rows = -(-self.batch // block) * block
        self.tables = [tensor.contiguous() for tensor in forest.named(given)]
        self.states = x.new_empty(2, x.shape[1], self.rows)
        self.x = x.contiguous()
        zero, one = self.states.data_ptr(), self.states.data_ptr() + self.states[0].nbytes
        self.library.states(self.x.data_ptr(), self.batch, x.shape[1], self.rows, zero, one)
        self.struct = _Trees(
            *(table.ctypes.data for table in forest.tables.values()),
            *(table.data_ptr() for table in self.tables),
            zero,
            one,
            self.rows,
            wanted is Wanted.COUNTS,
            wanted is Wanted.BEST,
        )
        self.trees = ctypes.addressof(self.struct)

    def up(self) -> Tensor:
        """Log-values of roots, shape (trees, rows)."""
        roots = self.x.new_empty(self.forest.trees, self.rows)
        self.library.trees_up(*self._shared(self._threads()), roots.data_ptr())
        return roots

    def mix(self, roots: Tensor, share: Tensor) -> Tensor:
        """Log-values of the mixture, shape (batch,), from logarithms of its weights."""
        values = self.x.new_empty(self.batch)
        given = roots.data_ptr(), share.data_ptr(), *roots.shape, self.batch
        self.library.mix_up(*given, self.struct.best, values.data_ptr())
        return values

    def unmix(
        self, roots: Tensor, share: Tensor, values: Tensor, above: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Flows of the roots, shape (trees, rows), and their sums."""
        flows, sums = torch.empty_like(roots), torch.empty_like(share)
        given = (tensor.data_ptr() for tensor in (roots, share, values, above))
        sizes = *roots.shape, len(above)
        self.library.mix_down(*given, *sizes, flows.data_ptr(), sums.data_ptr())
        return flows, sums

    def down(self, flows: Tensor, grads: tuple[Tensor, Tensor, Tensor]) -> None:
        """Add to the gradients of weights."""
        threads = self._threads() if self.forest.separate else 1
        places = (grad.data_ptr() for grad in (flows, *grads))
        self.library.trees_down(*self._shared(threads), *places)

    def leaves(self, flows: Tensor) -> Tensor:
        """Flows of the leaves' states, shape (rows of input layers, 2, batch)."""
        found = flows.new_zeros(self.forest.inputs, 2, self.rows)
        threads = min(self._threads(), self.rows // self.block)
        self.library.trees_leaves(*self._shared(threads), flows.data_ptr(), found.data_ptr())
        return found[..., : self.batch].contiguous()

    def choose(self, roots: Tensor, share: Tensor | None, task: Task) -> Tensor:
        """The leaf unit of each variable, shape (variables, draws); see `Descent`."""
        draws, alone = len(task.flows), self.batch == 1
        root = torch.zeros(draws, dtype=torch.int32, device="cpu")
        chosen = torch.full((self.x.shape[1], draws), -1, dtype=torch.int32, device="cpu")
        choice = _Choice(root.data_ptr(), chosen.data_ptr(), draws)
        choice.numbers = 3 * len(self.forest.tables["weight"]) + 1
        choice.key = int(task.key(chosen.device)) if task.wanted is Wanted.DRAWS else 0
        place = ctypes.addressof(choice)
        if share is not None:
            given = roots.data_ptr(), share.data_ptr(), *roots.shape
            self.library.mix_choose(*given, alone, self.struct.best, place, root.data_ptr())
        threads, most = self._threads(), self.forest.most_regions
        units = torch.empty(threads, most, dtype=torch.int32, device="cpu")
        shared = self._shared(threads)
        self.library.trees_choose(*shared, place, alone, units.data_ptr(), most)
        return chosen

    def _threads(self) -> int:
        """Number of threads that share the trees."""
        values = len(self.forest.tables["weight"]) * self.forest.units * self.rows
        return min(threads_for(values), self.forest.trees)

    def _shared(self, threads: int) -> tuple[int, int, int, int, int]:
        """The trees, the threads and their memory, as C functions take them."""
        return self.trees, self.forest.trees, threads, *self._space(threads)

    def _space(self, threads: int) -> tuple[int, int]:
        """Address of the threads' memory for values of a tree and a block, and floats for each."""
        needed = -(-2 * self.forest.units * self.forest.most_regions * self.block // 16) * 16
        known: Tensor | None = getattr(_local, "space", None)
        if known is None or known.numel() < threads * needed + 16:
            known = _local.space = torch.empty(threads * needed + 16, device="cpu")
        return (known.data_ptr() + 63) // 64 * 64, needed
