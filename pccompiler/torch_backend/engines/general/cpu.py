"""Any circuit on a CPU, in C: one block of rows at a time through all instructions.

The rows are cut into parts, each with gradients of its own, which are added in order. Threads share
the parts, so results do not depend on the number of threads.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pccompiler.ir.arrays import segments
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import Evaluate, Target
from pccompiler.torch_backend.engines.flat import by_layer, split_into
from pccompiler.torch_backend.engines.general.code import Op, Program
from pccompiler.torch_backend.engines.general.engine import General
from pccompiler.torch_backend.engines.general.memory import Kept, forget, space
from pccompiler.torch_backend.engines.questions import (
    QUERIES,
    Ascent,
    Batch,
    Descent,
    Task,
    Wanted,
)
from pccompiler.torch_backend.runtime.c_compiler import load_c, say_slower
from pccompiler.torch_backend.runtime.kernel_cache import KernelError
from pccompiler.torch_backend.runtime.macros import macros
from pccompiler.torch_backend.runtime.threads import threads_for
from pccompiler.torch_backend.weights.weights import Weights

_SOURCE = Path(__file__).parent / "kernels" / "general.c"
_COPIES = 2**22
"""Numbers in the gradients of all parts together: the larger the tables, the fewer the parts."""
_FEWEST, _MOST = 2, 64
"""Parts, if there are as many blocks."""
_MOST_KEPT = 2**28
"""Bytes of values that are kept for the way down; more are computed again."""
_MOST_SPACE = 2**31
"""Bytes of all threads' values; if a circuit is large, fewer threads run."""
_OFTEN = 16
"""If a weight is used more often than this, gradients are added up in float64."""
_C_TYPES = {torch.float32: "float", torch.float64: "double"}
_BYTES = 128
"""Bytes of one number for each row of a block."""


class _Circuit(ctypes.Structure):
    """See kernels/general.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("code", "items", "tables", "offsets", "columns")),
        *((name, ctypes.c_void_p) for name in ("x", "owner")),
        *((name, ctypes.c_int64) for name in ("instructions", "slots", "variables")),
        *((name, ctypes.c_int64) for name in ("batch", "counts", "best")),
    )


class _Down(ctypes.Structure):
    """See kernels/general.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("flows", "grads", "given", "leaves", "chosen")),
        *((name, ctypes.c_int64) for name in ("size", "rows", "key")),
    )


_P, _N, _I = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_FUNCTIONS = (
    ("bytes", (_N, _N, _N, _N)),
    ("kept_bytes", (_N,)),
    ("run", (_P, _I, _I, _P, _N, _P, _P, _P)),
)


class GeneralOnCPU(General):
    """Every plan, in float32 or float64, on the CPU."""

    name = "general-cpu"
    only_device = "cpu"
    takes_given = True

    shapes: Sequence[torch.Size] = ()
    offsets: NDArray[np.int64]
    columns: NDArray[np.int32]

    def __init__(self, plan: Plan, target: Target, program: Program) -> None:
        super().__init__(plan, target, program)
        self.libraries: dict[int, ctypes.CDLL] = {}
        often = program.most_uses > _OFTEN
        self.added = torch.float64 if often else target.dtype
        self.spare: list[Tensor] = []
        self.work = len(program.items) + sum(
            group.rows * group.columns * len(use.index)
            for use in plan.uses
            for group in (plan.groups[use.group],)
            if group.is_sum
        )

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`; a missing compiler is logged once."""
        super().load(weights, rest)
        try:
            self.library(1)
        except KernelError as why:
            say_slower(why)
            raise

    def library(self, block: int) -> ctypes.CDLL:
        """The functions compiled for blocks of ``block`` rows."""
        known = self.libraries.get(block)
        if known is None:
            wide = self.target.dtype == torch.float64
            defines: list[tuple[str, int | str]] = [("WIDE", int(wide)), ("B", block)]
            defines += [("GRAD", _C_TYPES[self.added]), *macros(Op)]
            known = load_c(_SOURCE, tuple(defines), _FUNCTIONS, parallel=True)
            known.bytes.restype = known.kept_bytes.restype = ctypes.c_int64
            self.libraries[block] = known
        return known

    def measure(self, tables: Sequence[Tensor]) -> None:
        """Note the shapes of the groups' tables, which never change."""
        self.shapes = [table.shape for table in tables]
        self.offsets = segments(np.array([table.numel() for table in tables], np.int64))
        self.columns = np.array([table.shape[2] for table in tables], np.int32)

    @property
    def size(self) -> int:
        """Numbers in all tables."""
        return int(self.offsets[-1])

    def launches(self, wanted: Wanted) -> int:
        """See `Engine`: the number of calls of C functions."""
        return 1 if wanted is Wanted.VALUE else 2

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`."""
        x = batch.x.detach().contiguous()
        tables = [operand.detach().contiguous() for operand in operands]
        call = _Call(self, x, tables, wanted, frozenset(batch.given))
        keep = wanted is not Wanted.VALUE and call.kept_bytes <= _MOST_KEPT
        kept = Kept(self.spare, call.kept_bytes) if keep else None
        value = x.new_empty(len(x))
        threads = min(threads_for(call.work), call.blocks)
        call.run(threads, threads, kept=kept, value=value)
        return value, Ascent((x, *tables), (kept, frozenset(batch.given)))

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`. Values that take too much memory are computed again, block by block."""
        x, *tables = ascent.saved
        kept, layers = ascent.kept
        call = _Call(self, x, tables, task.wanted, layers)
        if task.wanted in QUERIES:
            return self.answer(call, kept, task)
        number = len(self.program.groups)
        copies = max(_FEWEST, min(_MOST, _COPIES // max(1, self.size)))
        parts = min(copies, call.blocks)
        grads = torch.zeros(parts, self.size, dtype=self.added, device="cpu")
        given = [torch.empty_like(table) for table in tables[number:]]
        places = [0] * number + [each.data_ptr() for each in given]
        pointers = (ctypes.c_void_p * len(places))(*places)
        flows = task.flows.to(x.dtype).contiguous()
        down = _Down(flows.data_ptr(), grads.data_ptr(), ctypes.addressof(pointers))
        down.size, down.rows = self.size, len(x)
        call.run(threads_for(3 * call.work), parts, kept=kept, down=down)
        total = (grads[0] if parts == 1 else grads.sum(0)).to(x.dtype)
        return Descent((*split_into(total, self.shapes), *given))

    def answer(self, call: _Call, kept: Kept | None, task: Task) -> Descent:
        """The way down for queries."""
        x, program, rows = call.x, call.program, len(task.flows)
        down = _Down(rows=rows)
        parts = max(1, -(-rows // call.block))
        threads = threads_for(call.work // max(1, len(x)) * rows)
        if task.wanted is Wanted.POSTERIOR:
            flows = task.flows.to(x.dtype).contiguous()
            leaves = x.new_empty(program.leaves, rows)
            down.flows, down.leaves = flows.data_ptr(), leaves.data_ptr()
            call.run(threads, parts, kept=kept, down=down)
            return Descent(leaves=by_layer(self.plan, leaves, rows))
        chosen = torch.full((x.shape[1], rows), -1, dtype=torch.int32, device="cpu")
        down.chosen = chosen.data_ptr()
        if task.wanted is Wanted.DRAWS:
            down.key = int(task.key(x.device))
        call.run(threads, parts, kept=kept, down=down)
        return Descent(chosen=chosen)

    def release(self) -> None:
        """See `Engine`."""
        self.spare.clear()
        forget()


class _Call:
    """A program with its tables and rows, as the C code wants them."""

    def __init__(
        self,
        engine: GeneralOnCPU,
        x: Tensor,
        tables: list[Tensor],
        wanted: Wanted,
        given: frozenset[int],
    ) -> None:
        batch = len(x)
        program = engine.program_for(wanted in QUERIES, given)
        if not engine.shapes:
            engine.measure(tables[: len(program.groups)])
        self.engine, self.program, self.x, self.tables = engine, program, x, tables
        alone = batch <= 1 and wanted is not Wanted.DRAWS  # many draws may come from one row
        self.block = 1 if alone else _BYTES // x.element_size()
        self.library = engine.library(self.block)
        self.blocks = max(1, -(-batch // self.block))
        self.work = engine.work * batch
        self.pointers = (ctypes.c_void_p * len(tables))(*(table.data_ptr() for table in tables))
        self.struct = _Circuit(
            program.code.ctypes.data,
            program.items.ctypes.data,
            ctypes.addressof(self.pointers),
            engine.offsets.ctypes.data,
            engine.columns.ctypes.data,
            x.data_ptr(),
            program.owners.ctypes.data if wanted in QUERIES else None,
            len(program.code),
            program.slots,
            x.shape[1],
            batch,
            wanted is Wanted.COUNTS,
            wanted is Wanted.BEST,
        )

    @property
    def kept_bytes(self) -> int:
        """Bytes of the values of all blocks."""
        return int(self.library.kept_bytes(self.program.slots)) * self.blocks

    def run(
        self,
        threads: int,
        parts: int,
        *,
        kept: Kept | None,
        value: Tensor | None = None,
        down: _Down | None = None,
    ) -> None:
        """Up if ``value`` is wanted, and down if that is."""
        program, variables = self.program, self.x.shape[1]
        sizes = program.slots, program.widest, variables, len(program.code)
        each = int(self.library.bytes(*sizes))
        threads = max(1, min(threads, parts, _MOST_SPACE // each))
        memory = space(threads * each)
        fine = self.library.run(
            ctypes.addressof(self.struct),
            threads,
            parts,
            memory.data_ptr(),
            program.widest,
            None if kept is None else kept.memory.data_ptr(),
            None if value is None else value.data_ptr(),
            None if down is None else ctypes.addressof(down),
        )
        if not fine:
            raise AssertionError("an instruction is unknown")  # pragma: no cover
