"""Trees of small regions on a CPU, in C: one tree and one block of rows at a time, in cache.

The same plans run on a GPU (`pccompiler.torch_backend.engines.trees.cuda`). Trees are distributed
over threads, each with weights of its own, so results are reproducible bit for bit.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import Engine, Evaluate, NoMatch, Target
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Descent, Task, Wanted
from pccompiler.torch_backend.engines.trees.match import (
    Child,
    RegionTrees,
    read_trees,
    root_order,
)
from pccompiler.torch_backend.engines.trees.tables import rows_of, separate, tables_of
from pccompiler.torch_backend.runtime.c_compiler import load_c, say_slower
from pccompiler.torch_backend.runtime.kernel_cache import KernelError
from pccompiler.torch_backend.runtime.macros import macros
from pccompiler.torch_backend.runtime.threads import threads_for
from pccompiler.torch_backend.weights.weights import Weights

_SOURCE = Path(__file__).parent / "kernels" / "trees.c"

MOST_UNITS = 16
"""With more units, torch's matrix products are as fast."""
_BLOCKS = (1, 32, 64)
"""Rows of a block for one or two, few, and many; between 1 and 32, compilers do not vectorize."""
_local = threading.local()


class _Trees(ctypes.Structure):
    """See kernels/trees.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("starts", "weight", "parent", "kind", "source")),
        *((name, ctypes.c_void_p) for name in ("leaf", "square", "top", "leaves", "zero", "one")),
        ("rows", ctypes.c_int64),
        ("counts", ctypes.c_int64),
    )


_P, _N, _I = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_FUNCTIONS = (
    ("states", (_P, _N, _N, _N, _P, _P)),
    ("trees_up", (_P, _I, _I, _P, _N, _P)),
    ("trees_down", (_P, _I, _I, _P, _N, _P, _P, _P, _P)),
    ("mix_up", (_P, _P, _N, _N, _N, _P)),
    ("mix_down", (_P, _P, _P, _P, _N, _N, _N, _P, _P)),
)


class TreesOnCPU(Engine):
    """A circuit of small regions in trees, in float32 on the CPU."""

    name = "trees-cpu"
    answers = frozenset({Wanted.VALUE, Wanted.GRADIENT, Wanted.COUNTS})
    only_device, only_dtype = "cpu", torch.float32
    in_kernels = True

    tables: dict[str, NDArray[np.int32]]
    separate: bool
    weights: Weights

    def __init__(self, plan: Plan, target: Target, regions: RegionTrees) -> None:
        super().__init__(plan, target)
        self.regions, self.units, self.groups = regions, regions.units, regions.groups
        self.mixed = plan.layers[-1].kind == Kind.MIXTURE
        order = root_order(plan)
        self.order = None if order is None else torch.from_numpy(order)
        self.libraries: dict[int, ctypes.CDLL] = {}

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> TreesOnCPU:
        """See `Engine`: trees of small regions over binary leaves."""
        trees = read_trees(plan)
        if trees.units > MOST_UNITS:
            raise NoMatch(f"regions have {trees.units} units, more than {MOST_UNITS}")
        return cls(plan, target, trees)

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`; a missing compiler is logged once."""
        self.weights = weights
        places = {group: rows_of(weights, group) for group in self.groups}
        self.tables = tables_of(self.regions, places)
        self.separate = separate(self.tables)
        try:
            self.library(_BLOCKS[-1])
        except KernelError as why:
            say_slower(why)
            raise

    @property
    def trees(self) -> int:
        """Number of trees."""
        return len(self.tables["starts"]) - 1

    @cached_property
    def most_regions(self) -> int:
        """Regions of the largest tree."""
        return int(np.diff(self.tables["starts"]).max())

    def library(self, block: int) -> ctypes.CDLL:
        """The functions compiled for blocks of ``block`` rows."""
        known = self.libraries.get(block)
        if known is None:
            defines = ("K", self.units), ("B", block), *macros(Child)
            known = load_c(_SOURCE, defines, _FUNCTIONS, reorder=True, parallel=True)
            self.libraries[block] = known
        return known

    def launches(self, wanted: Wanted) -> int:
        """See `Engine`: the number of calls of C functions."""
        each_way = 1 + self.mixed
        return 1 + each_way * (1 if wanted is Wanted.VALUE else 2)

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """Log-weights of the roots if they are mixed, then the weights of each group."""
        mixture = [self.plan.layers[-1].group] if self.mixed else []
        made = [group for group in self.own if self.plan.groups[group].generated]
        tables = weights.by_group([*made, *mixture])
        given = [tables[n] if n in tables else weights.constrained(n) for n in self.own]
        return [*(self._shares(tables[group]) for group in mixture), *given]

    @cached_property
    def own(self) -> list[int]:
        """The groups of regions, roots and leaves, each once."""
        return [group for group in dict.fromkeys(self.groups) if group >= 0]

    def _shares(self, table: Tensor) -> Tensor:
        """Logarithms of the mixture's weights, in the order of the roots."""
        share = table.flatten()
        return (share if self.order is None else share[self.order]).log()

    def _arrange(self, tables: Sequence[Tensor]) -> list[Tensor]:
        """The same operands from tables by group."""
        by_group = dict(zip(self.weights.tables, tables, strict=True))
        given = [by_group[group] for group in self.own]
        if not self.mixed:
            return given
        group = self.plan.layers[-1].group
        ordered = self.weights.by_group((group,), given=by_group)
        return [self._shares(ordered[group]), *given]

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`."""
        x, counts = batch.x, wanted is Wanted.COUNTS
        if counts:
            operands = self._arrange(operands)
        blocks = _Blocks(self, x, operands[self.mixed :], counts)
        roots = blocks.up()
        if not self.mixed:
            values = roots[0, : len(x)].clone()
        else:
            values = x.new_empty(len(x))
            pointers = roots.data_ptr(), operands[0].data_ptr()
            blocks.library.mix_up(*pointers, *roots.shape, len(x), values.data_ptr())
        return values, Ascent((roots, values, *operands), blocks)

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`."""
        blocks: _Blocks = ascent.kept
        roots, values, *operands = ascent.saved
        above, each = task.flows.contiguous(), torch.zeros_like(roots)
        sums: list[Tensor] = []
        if not self.mixed:
            each[0, : len(above)] = above
        else:
            sums = [torch.empty_like(operands[0])]
            given = (t.data_ptr() for t in (roots, operands[0], values, above))
            found = each.data_ptr(), sums[0].data_ptr()
            blocks.library.mix_down(*given, *roots.shape, len(above), *found)
        grads = [torch.zeros_like(t) for t in operands[self.mixed :]]
        blocks.down(each, self.named(grads))
        if task.wanted is not Wanted.COUNTS:
            return Descent((*sums, *grads))
        by_group = dict(zip(self.own, grads, strict=True))
        for flat in sums:  # the derivative by a logarithm is a count
            in_order = flat.clone()
            if self.order is not None:
                in_order[self.order] = flat
            group = self.plan.layers[-1].group
            by_group[group] = self.weights.added(group, in_order.view(1, 1, -1))
        return Descent([by_group[group] for group in self.weights.tables])

    def named(self, given: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of regions, roots and leaves; the same tensor if they share a group."""
        by_group = dict(zip(self.own, given, strict=True))
        square, root, leaf = (by_group.get(group, given[0]) for group in self.groups)
        return square, root, leaf


class _Blocks:
    """The trees with their weights and the rows, cut into blocks."""

    def __init__(
        self, circuit: TreesOnCPU, x: Tensor, given: Sequence[Tensor], counts: bool
    ) -> None:
        self.circuit, self.batch = circuit, len(x)
        block = _BLOCKS[(self.batch > 2) + (self.batch > _BLOCKS[1])]
        self.library, self.block = circuit.library(block), block
        self.rows = -(-self.batch // block) * block
        self.tables = [tensor.contiguous() for tensor in circuit.named(given)]
        self.states = x.new_empty(2, x.shape[1], self.rows)
        self.x = x.contiguous()
        zero, one = self.states.data_ptr(), self.states.data_ptr() + self.states[0].nbytes
        self.library.states(self.x.data_ptr(), self.batch, x.shape[1], self.rows, zero, one)
        self.struct = _Trees(
            *(table.ctypes.data for table in circuit.tables.values()),
            *(table.data_ptr() for table in self.tables),
            zero,
            one,
            self.rows,
            counts,
        )
        self.trees = ctypes.addressof(self.struct)

    def up(self) -> Tensor:
        """Log-values of roots, shape (trees, rows)."""
        roots = self.x.new_empty(self.circuit.trees, self.rows)
        threads = self._threads()
        self.library.trees_up(
            self.trees, self.circuit.trees, threads, *self._space(threads), roots.data_ptr()
        )
        return roots

    def down(self, flows: Tensor, grads: tuple[Tensor, Tensor, Tensor]) -> None:
        """Add to the gradients of weights."""
        threads = self._threads() if self.circuit.separate else 1
        places = (grad.data_ptr() for grad in (flows, *grads))
        self.library.trees_down(
            self.trees, self.circuit.trees, threads, *self._space(threads), *places
        )

    def _threads(self) -> int:
        """Number of threads that share the trees."""
        circuit = self.circuit
        values = len(circuit.tables["weight"]) * circuit.units * self.rows
        return min(threads_for(values), circuit.trees)

    def _space(self, threads: int) -> tuple[int, int]:
        """Address of the threads' memory for values of a tree and a block, and floats for each."""
        needed = -(-2 * self.circuit.units * self.circuit.most_regions * self.block // 16) * 16
        known: Tensor | None = getattr(_local, "space", None)
        if known is None or known.numel() < threads * needed + 16:
            known = _local.space = torch.empty(threads * needed + 16, device="cpu")
        return (known.data_ptr() + 63) // 64 * 64, needed
