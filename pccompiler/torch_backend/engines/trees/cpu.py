"""Trees of small regions on a CPU, in C: one tree and one block of rows at a time, in cache.

The same plans as the systolic kernels run on CUDA
(`pccompiler.torch_backend.engines.trees.match`). Trees are
shared out among threads, each with weights of its own, so repeats agree bit for bit.
"""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.ir.arrays import Int
from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import NotFusedError
from pccompiler.torch_backend.engines.trees.match import Child, RegionTrees, read_trees, root_order
from pccompiler.torch_backend.runtime.c_compiler import load_c
from pccompiler.torch_backend.runtime.first_order import first_order
from pccompiler.torch_backend.runtime.threads import threads_for
from pccompiler.torch_backend.weights.weights import Weights

_SOURCE = Path(__file__).parent / "kernels" / "trees.c"

MOST_UNITS = 16
"""Above, torch's matrix products are as quick."""
_BLOCKS = (1, 32, 64)
"""Rows of a block, for one or two, few, and many: between 1 and 32, compilers give up vectors."""
_local = threading.local()


class _Trees(ctypes.Structure):
    """See kernels/trees.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("starts", "weight", "parent", "kind", "source")),
        *((name, ctypes.c_void_p) for name in ("leaf", "square", "top", "leaves", "zero", "one")),
        ("rows", ctypes.c_int64),
    )


_P, _N, _I = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_FUNCTIONS = (
    ("states", (_P, _N, _N, _N, _P, _P)),
    ("trees_up", (_P, _I, _I, _P, _N, _P)),
    ("trees_down", (_P, _I, _I, _P, _N, _P, _P, _P, _P)),
    ("mix_up", (_P, _P, _N, _N, _N, _P)),
    ("mix_down", (_P, _P, _P, _P, _N, _N, _N, _P, _P)),
)


class NarrowOnCPU:
    """A circuit of small regions in trees, in float32 on the CPU."""

    def __init__(self, plan: Plan, weights: Weights) -> None:
        """Read the trees and compile.

        Raises:
            NotFusedError: If the plan is no tree of small regions over binary leaves.
            KernelError: If there is no C compiler.
        """
        trees = read_trees(plan)
        if trees.units > MOST_UNITS:
            raise NotFusedError(f"regions have {trees.units} units, more than {MOST_UNITS}")
        self.plan, self.weights, self.units = plan, weights, trees.units
        self.groups = trees.groups
        self.tables = _tables(trees, {group: _rows(weights, group) for group in trees.groups})
        starts = self.tables["starts"]
        self.trees, self.regions = len(starts) - 1, int(np.diff(starts).max())
        self.separate = _separate(self.tables)
        self.mixed = plan.layers[-1].kind == Kind.MIXTURE
        order = root_order(plan)
        self.order = None if order is None else torch.from_numpy(order)
        self.libraries: dict[int, ctypes.CDLL] = {}
        self.library(_BLOCKS[-1])

    def library(self, block: int) -> ctypes.CDLL:
        """The compiled functions for blocks of so many rows."""
        known = self.libraries.get(block)
        if known is None:
            defines = ("K", self.units), ("B", block)
            known = load_c(_SOURCE, defines, _FUNCTIONS, reorder=True, parallel=True)
            self.libraries[block] = known
        return known

    def __call__(self, x: Tensor, complete: bool) -> Tensor:
        """Log-likelihoods, shape (batch,), of rows (batch, variables)."""
        if len(x) == 0:
            return x.new_zeros(0)
        own = [group for group in dict.fromkeys(self.groups) if group >= 0]
        mixture = [self.plan.layers[-1].group] if self.mixed else []
        made = [group for group in own if self.plan.groups[group].generated]
        tables = self.weights.by_group([*made, *mixture])
        logs: Tensor | None = None
        if self.mixed:
            share = tables[mixture[0]].flatten()
            logs = (share if self.order is None else share[self.order]).log()
        given = [
            tables[group] if group in tables else self.weights.constrained(group) for group in own
        ]
        result: Tensor = _Run.apply(self, x, logs, *given)  # type: ignore[no-untyped-call]
        return result

    def named(self, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of regions, roots and leaves; the same tensor where groups are the same."""
        groups = [group for group in dict.fromkeys(self.groups) if group >= 0]
        by_group = dict(zip(groups, given, strict=True))
        square, root, leaf = (by_group.get(group, given[0]) for group in self.groups)
        return square, root, leaf


def _rows(weights: Weights, group: int) -> Int | None:
    """Of weights in the order of their uses: rows of the parameter; ``None``: they are the same."""
    if group < 0 or weights.plan.groups[group].generated:
        return None
    rows = weights.orders[str(group)].rows
    return rows.cpu().numpy() if isinstance(rows, Tensor) else None


def _tables(trees: RegionTrees, rows: dict[int, Int | None]) -> dict[str, NDArray[np.int32]]:
    """Regions tree by tree, in post-order, as kernels/trees.c reads them.

    Args:
        trees: The regions.
        rows: Group to the places of its weights (see `_rows`).
    """

    def placed(group: int, numbers: Int) -> Int:
        where = rows[group]
        return numbers if where is None else where[np.maximum(numbers, 0)]

    order: list[int] = []
    starts = [0]
    place = np.zeros(len(trees.weight), np.int64)
    for root in trees.roots:
        own = _post_order(trees, root)
        place[own] = np.arange(len(own))
        order += own
        starts.append(len(order))
    kinds, ids = (np.array(table).reshape(-1, 2)[order] for table in (trees.kinds, trees.ids))
    inner = kinds == Child.LANE
    source = np.where(inner, place[np.where(inner, ids, 0)], ids)
    parent = np.full(len(order), -1)
    tree = np.repeat(np.array(starts[:-1]), np.diff(starts))
    region, side = np.nonzero(inner)
    parent[tree[region] + source[region, side]] = region - tree[region]
    weight, leaf = np.array(trees.weight)[order], np.array(trees.leaves).reshape(-1, 2)[order]
    square, root, leaves = trees.groups
    inner_weights = np.where(weight >= 0, placed(square, weight), weight)
    found = {
        "starts": np.array(starts),
        "weight": np.where(weight < -1, -2 - placed(root, -2 - weight), inner_weights),
        "parent": parent,
        "kind": kinds,
        "source": source,
        "leaf": np.where(leaf >= 0, placed(leaves, leaf), leaf),
    }
    return {name: np.ascontiguousarray(table, np.int32) for name, table in found.items()}


def _separate(tables: dict[str, NDArray[np.int32]]) -> bool:
    """Whether no weight is used twice, so that threads never add to the same gradient."""
    own = (tables["weight"][tables["weight"] != -1], tables["leaf"][tables["kind"] == Child.LEAF])
    return all(len(np.unique(places)) == places.size for places in own)


def _post_order(trees: RegionTrees, root: int) -> list[int]:
    """Regions below ``root``, children before parents, the root last."""
    found: list[int] = []
    stack = [root]
    while stack:
        region = stack.pop()
        found.append(region)
        stack += trees.below(region)
    return found[::-1]


class _Batch:
    """The trees with weights and rows."""

    def __init__(self, circuit: NarrowOnCPU, x: Tensor, given: tuple[Tensor, ...]) -> None:
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
        """Add to gradients of weights."""
        threads = self._threads() if self.circuit.separate else 1
        places = (grad.data_ptr() for grad in (flows, *grads))
        self.library.trees_down(
            self.trees, self.circuit.trees, threads, *self._space(threads), *places
        )

    def _threads(self) -> int:
        """Threads that the trees are shared out among."""
        circuit = self.circuit
        values = len(circuit.tables["weight"]) * circuit.units * self.rows
        return min(threads_for(values), circuit.trees)

    def _space(self, threads: int) -> tuple[int, int]:
        """Where threads have memory for the values of a tree and a block, and how much each."""
        needed = -(-2 * self.circuit.units * self.circuit.regions * self.block // 16) * 16
        known: Tensor | None = getattr(_local, "space", None)
        if known is None or known.numel() < threads * needed + 16:
            known = _local.space = torch.empty(threads * needed + 16, device="cpu")
        return (known.data_ptr() + 63) // 64 * 64, needed


class _Run(torch.autograd.Function):
    """From weights to log-likelihoods."""

    @staticmethod
    def forward(
        ctx: Any, circuit: NarrowOnCPU, x: Tensor, share: Tensor | None, *given: Tensor
    ) -> Tensor:
        ctx.set_materialize_grads(False)
        batch = _Batch(circuit, x, given)
        roots = batch.up()
        if share is None:
            values = roots[0, : len(x)].clone()
        else:
            values = x.new_empty(len(x))
            pointers = roots.data_ptr(), share.data_ptr()
            batch.library.mix_up(*pointers, *roots.shape, len(x), values.data_ptr())
        if any(ctx.needs_input_grad):
            ctx.batch = batch
            mixed = () if share is None else (share, values)
            ctx.save_for_backward(roots, *mixed, *given)
        return values

    @staticmethod
    @first_order
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override, unused-ignore]  # pyright: ignore[reportIncompatibleMethodOverride]
        batch, (roots, *weights) = ctx.batch, ctx.saved_tensors
        above = grad_outputs[0].contiguous()
        flows, sums = torch.zeros_like(roots), None
        if not batch.circuit.mixed:
            flows[0, : len(above)] = above
        else:
            share, values, *weights = weights
            sums = torch.empty_like(share)
            given = (t.data_ptr() for t in (roots, share, values, above))
            found = flows.data_ptr(), sums.data_ptr()
            batch.library.mix_down(*given, *roots.shape, len(above), *found)
        grads = tuple(torch.zeros_like(t) for t in weights)
        batch.down(flows, batch.circuit.named(grads))
        return (None, None, sums, *grads)
