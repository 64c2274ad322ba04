"""Any circuit on a GPU, level by level: in one launch for small circuits, else one for each level.

Nothing is added in an order that may change, so results are reproducible bit for bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

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
from pccompiler.torch_backend.engines.general.indexed import Indexed, indexed, on_device
from pccompiler.torch_backend.engines.general.schedule import (
    OPERANDS,
    UNITS,
    Work,
    passed_on,
)
from pccompiler.torch_backend.engines.questions import (
    QUERIES,
    Ascent,
    Batch,
    Descent,
    Task,
    Wanted,
)
from pccompiler.torch_backend.runtime import nvrtc
from pccompiler.torch_backend.runtime.macros import macros
from pccompiler.torch_backend.runtime.nvrtc import Argument, Kernel, Long, Struct
from pccompiler.torch_backend.weights.weights import Weights

_SOURCE = Path(__file__).parent / "kernels" / "general.cu"
_NAMES = (
    *("states", "up", "best_up", "roots", "down", "choose_down"),
    *("sum_gradients", "sorted", "leaf_gradients"),
)
_THREADS = 512
_SUMMING = 128
"""Threads of a block that adds up gradients of sums' weights."""
_BYTES = 2**33
"""Memory for the values and flows of all rows; more rows are split."""
_LAUNCH = 4.0
"""What a launch takes, in the time in which a block does one item with each of its threads."""
_AT_ONCE = 2**17
"""How many items with a row each a GPU does at once if each level is a launch."""
_LONG = 16
"""With more rows of each state than this, a warp adds them up."""
_BLOCKS = 264
"""Blocks of rows that fill a GPU: a block gets more rows only if there would be more blocks."""


class _Circuit(ctypes.Structure):
    """See kernels/general.cu."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("code", "items", "push", "columns", "offsets")),
        *((name, ctypes.c_void_p) for name in ("tables", "given", "work", "levels")),
        *((name, ctypes.c_void_p) for name in ("readers", "reads", "owner", "key", "state")),
        *((name, ctypes.c_void_p) for name in ("value", "top", "flow", "passed", "given_flow")),
        *((name, ctypes.c_void_p) for name in ("root", "out", "leaves", "reached", "chosen")),
        *((name, ctypes.c_int64) for name in ("batch", "valued")),
        *((name, ctypes.c_int32) for name in ("slots", "instructions", "first_level")),
        *((name, ctypes.c_int32) for name in ("last_level", "rows", "counts", "best")),
    )


class _Layout(NamedTuple):
    """Where tables are; known once the first ones have been seen."""

    shapes: list[torch.Size]
    columns: Tensor
    offsets: Tensor
    before: Tensor
    entries: int
    states: int


class GeneralOnCUDA(General):
    """Every plan, in float32 or float64, on a GPU."""

    name = "general-cuda"
    only_device = "cuda"

    kernels: dict[str, Kernel]
    layout: _Layout | None = None
    warp = 32

    def __init__(self, plan: Plan, target: Target, program: Program) -> None:
        super().__init__(plan, target, program)
        numbers = 3 * program.slots + 2 * len(program.code) + passed_on(program)
        self.most_rows = max(32, _BYTES // (numbers * target.dtype.itemsize))

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`."""
        super().load(weights, rest)
        defines = defines_for(self.target.dtype)
        self.kernels = nvrtc.load(self.target.device, (_SOURCE,), defines, _NAMES)

    @cached_property
    def trained(self) -> Indexed:
        """The program for values, gradients and counts, on the device."""
        return indexed(self.plan, self.program, self.target.device)

    @cached_property
    def asked(self) -> Indexed:
        """The program for queries, on the device."""
        return indexed(self.plan, self.queries, self.target.device)

    def _on_device(self, array: NDArray[np.integer], dtype: type[np.generic] = np.int32) -> Tensor:
        return on_device(array, self.target.device, dtype)

    def laid_out(self, tables: Sequence[Tensor]) -> _Layout:
        """Where tables are in one tensor of all of them; their shapes never change."""
        if self.layout is None:
            layers = [self.plan.layers[number] for number in self.program.given]
            sizes = np.array([table.numel() for table in tables], np.int64)
            units = np.array([layer.rows * layer.units for layer in layers], np.int64)
            columns = np.array([*(table.shape[2] for table in tables), 0])
            offsets = np.concatenate([segments(sizes)[:-1], segments(units)[:-1]])
            one = self.program.code[self.trained.schedule.leaves[:, 0]]
            states = columns[one[:, 5]]
            before = segments((one[:, 1] * states).astype(np.int64))
            self.layout = _Layout(
                [table.shape for table in tables],
                self._on_device(columns),
                self._on_device(offsets, np.int64),
                self._on_device(before, np.int64),
                int(before[-1]),
                int(states.max(initial=0)),
            )
        return self.layout

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`."""
        x, number = batch.x.detach().contiguous(), len(self.program.groups)
        made = self.asked if wanted in QUERIES else self.trained
        rows, like, program = len(x), x, made.program
        layout = self.laid_out(operands[:number])
        tables = _joined([table.detach() for table in operands[:number]], like)
        given = _joined([layer.detach() for layer in operands[number:]], like)
        state = torch.empty(x.shape[1], rows, dtype=torch.int32, device=x.device)
        value = like.new_empty(program.slots, rows, 2)
        top = like.new_empty(len(program.code) if program.widest > 1 else 0, rows)
        out = like.new_empty(rows)
        circuit = self.circuit(made, layout, (tables, given, state, value, top))
        circuit.out, circuit.best = out.data_ptr(), wanted is Wanted.BEST
        per = (-(-state.numel() // 256), 1)
        self.launch("states", per, 256, [x, Long(rows), x.shape[1], state])
        circuit.work, circuit.levels = made.up.data_ptr(), made.up_levels.data_ptr()
        self.walk("best_up" if circuit.best else "up", circuit, made.schedule.up)
        self.launch("roots", (-(-rows // 256), 1), 256, [Struct(circuit)])
        return out, Ascent((tables, given, state, value, top), layout)

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`."""
        if task.wanted in (Wanted.DRAWS, Wanted.BEST):
            return Descent(chosen=self.choose(ascent, task))
        _, given, state, value, _ = ascent.saved
        made = self.asked if task.wanted in QUERIES else self.trained
        rows = state.shape[1]
        root = task.flows.to(value.dtype).contiguous()
        flow = value.new_empty(made.program.slots, rows)
        passed = value.new_empty(made.schedule.passed, rows)
        given_flow = torch.empty_like(given)
        circuit = self.circuit(made, ascent.kept, ascent.saved)
        circuit.flow, circuit.passed = flow.data_ptr(), passed.data_ptr()
        circuit.given_flow, circuit.root = given_flow.data_ptr(), root.data_ptr()
        circuit.counts = task.wanted is Wanted.COUNTS
        circuit.work, circuit.levels = made.down.data_ptr(), made.down_levels.data_ptr()
        if task.wanted is Wanted.POSTERIOR:
            leaves = value.new_empty(made.program.leaves, rows)
            circuit.leaves = leaves.data_ptr()
            self.walk("down", circuit, made.schedule.down)
            return Descent(leaves=by_layer(self.plan, leaves, rows))
        self.walk("down", circuit, made.schedule.down)
        grads = self.gradients(circuit, ascent)
        layers = [self.plan.layers[number] for number in self.program.given]
        shapes = [(layer.rows, layer.units, rows) for layer in layers]
        return Descent((*split_into(grads, ascent.kept.shapes), *split_into(given_flow, shapes)))

    def gradients(self, circuit: _Circuit, ascent: Ascent) -> Tensor:
        """Gradients, or counts, of all tables."""
        tables, _, state, _, _ = ascent.saved
        layout: _Layout = ascent.kept
        variables, rows = state.shape
        grads = torch.zeros_like(tables)
        users = self.trained.starts, self.trained.users
        blocks = self.trained.blocks
        if len(blocks):
            wanted: list[Argument] = [Struct(circuit), blocks, *users, grads]
            self.launch("sum_gradients", (len(blocks), 1), _SUMMING, wanted)
        if layout.entries:
            ends = state.new_empty(variables, layout.states + 1)
            order = torch.empty_like(state)
            sizes = Long(rows), layout.states
            self.launch("sorted", (variables, 1), 256, [state, *sizes, ends, order])
            leaves = self.trained.leaves, layout.before, len(self.trained.leaves)
            lanes = self.warp if rows > _LONG * layout.states else 1
            rest = *users, ends, order, layout.states, lanes, grads
            per = (-(-layout.entries * lanes // 128), 1)
            self.launch("leaf_gradients", per, 128, [Struct(circuit), *leaves, *rest])
        return grads

    def choose(self, ascent: Ascent, task: Task) -> Tensor:
        """The leaf unit that each row's induced tree reaches for each variable."""
        made, state, rows = self.asked, ascent.saved[2], len(task.flows)
        chosen = state.new_full((len(state), rows), -1)
        reached = state.new_full((len(made.program.code), rows), -1)
        circuit = self.circuit(made, ascent.kept, ascent.saved)
        circuit.valued, circuit.batch = state.shape[1], rows
        circuit.chosen, circuit.reached = chosen.data_ptr(), reached.data_ptr()
        circuit.owner, circuit.instructions = made.owner.data_ptr(), len(reached)
        circuit.best = task.wanted is Wanted.BEST
        if task.wanted is Wanted.DRAWS:
            key = task.key(state.device)
            circuit.key = key.data_ptr()
        circuit.work = made.choices.data_ptr()
        circuit.levels = made.choices_levels.data_ptr()
        self.walk("choose_down", circuit, made.schedule.choices)
        return chosen

    def circuit(self, made: Indexed, layout: _Layout, saved: Sequence[Tensor]) -> _Circuit:
        """What the kernels of both ways read: an index, and what `up` saves."""
        tables, given, state, value, top = saved
        found = _Circuit()
        for name, tensor in (
            *(("code", made.code), ("items", made.items), ("push", made.push)),
            *(("columns", layout.columns), ("offsets", layout.offsets), ("tables", tables)),
            *(("given", given), ("readers", made.readers), ("reads", made.reads)),
            *(("state", state), ("value", value), ("top", top)),
        ):
            setattr(found, name, tensor.data_ptr())
        found.batch, found.slots = state.shape[1], made.program.slots
        return found

    def walk(self, name: str, circuit: _Circuit, work: Work) -> None:
        """Run all levels: in one launch, or one by one."""
        rows, levels = int(circuit.batch), len(work.levels) - 1
        circuit.rows = 1
        while circuit.rows < 32 and rows > _BLOCKS * circuit.rows:
            circuit.rows *= 2
        blocks = -(-rows // circuit.rows)
        steps = levels + len(work.items) * circuit.rows / _THREADS
        if (
            steps * max(1.0, blocks / _BLOCKS)
            < _LAUNCH * levels + len(work.items) * rows / _AT_ONCE
        ):
            circuit.first_level, circuit.last_level = 0, levels
            self.launch(name, (blocks, 1), _THREADS, [Struct(circuit)])
            return
        circuit.rows = 32
        for level, items in enumerate(np.diff(work.levels).tolist()):
            circuit.first_level, circuit.last_level = level, level + 1
            parts = min(-(-items // (_THREADS // 32)), 2**15)
            self.launch(name, (-(-rows // 32), parts), _THREADS, [Struct(circuit)])

    def launch(
        self, name: str, grid: tuple[int, int], threads: int, arguments: Sequence[Argument]
    ) -> None:
        """Launch a kernel, unless there are no rows."""
        if 0 not in grid:
            self.kernels[name](grid, (threads, 1), 0, arguments)


def defines_for(dtype: torch.dtype) -> nvrtc.Defines:
    """Macros and their values for kernels in a precision."""
    sizes = ("UB", UNITS), ("JB", OPERANDS), ("MOST_WARPS", _SUMMING // 32)
    return ("WIDE", int(dtype == torch.float64)), *sizes, *macros(Op)


def _joined(tensors: Sequence[Tensor], like: Tensor) -> Tensor:
    """All numbers of some tensors, one after the other."""
    flat = [tensor.reshape(-1) for tensor in tensors]
    if len(flat) == 1:
        return flat[0].contiguous()
    return torch.cat(flat) if flat else like.new_empty(0)
