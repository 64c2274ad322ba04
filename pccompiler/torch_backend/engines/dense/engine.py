"""Evaluates wide dense sums over elementwise products in fused Triton kernels on CUDA.

`pccompiler.torch_backend.engines.dense.regions` describes how the kernels see a plan.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.base import Engine, Evaluate, NoMatch, Target
from pccompiler.torch_backend.engines.dense.buffers import Kept, Precision
from pccompiler.torch_backend.engines.dense.compiling import can_compile_ahead
from pccompiler.torch_backend.engines.dense.match import regions_of
from pccompiler.torch_backend.engines.dense.parts import launches
from pccompiler.torch_backend.engines.dense.regions import Regions
from pccompiler.torch_backend.engines.dense.tiles import Tiles
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Descent, Task, Wanted
from pccompiler.torch_backend.engines.tables_by_group import operands_by_group
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.runtime.kernel_cache import KernelError
from pccompiler.torch_backend.weights.weights import Weights

if TYPE_CHECKING:
    from pccompiler.torch_backend.engines.dense.launch import Runner

_PRECISIONS: dict[str, Precision] = {"highest": "ieee", "high": "tf32", "medium": "bf16"}


@dataclass
class _Source:
    """What an evaluation came from, and whether `Dense.down` has written over what it left."""

    batch: Batch
    operands: Sequence[Tensor]
    spent: bool = False


class Dense(Engine):
    """A circuit of wide sums in Triton kernels; torch computes the weights.

    Matrix products use torch's precision setting unless ``precision`` says otherwise.
    """

    name = "dense"
    answers = frozenset({Wanted.VALUE, Wanted.GRADIENT, Wanted.COUNTS})
    only_device, only_dtype = "cuda", torch.float32
    in_kernels = True

    tiles = Tiles()
    precision: Precision | None
    runner: Runner
    leaves: LeafInputs

    def __init__(
        self, plan: Plan, target: Target, regions: Regions, precision: Precision | None = None
    ) -> None:
        super().__init__(plan, target)
        self.regions, self.precision = regions, precision
        self.tables = len(regions.groups)
        self.compiled: set[tuple[object, ...]] = set()

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> Dense:
        """See `Engine`: inputs, products, mixtures and wide sums."""
        return cls(plan, target, regions_of(plan))

    def load(self, weights: Weights, rest: Evaluate) -> None:
        """See `Engine`. Under Triton's interpreter it also runs on a CPU."""
        if importlib.util.find_spec("triton") is None:
            raise NoMatch("Triton is not installed")
        from pccompiler.torch_backend.engines.dense.launch import Runner

        precision = self.precision or _PRECISIONS[torch.get_float32_matmul_precision()]
        self.runner = Runner(self.regions, self.target.device, precision, self.tiles)
        self.leaves = LeafInputs(self.plan, self.target.device, torch.float32)

    def launches(self, wanted: Wanted) -> int | None:
        """See `Engine`. Wide levels are torch's matrix products."""
        sums = (level.shape for level in self.regions.levels if not level.shape.mixture)
        if max(min(shape.units, shape.width) for shape in sums) >= min(self.tiles.wide):
            return None
        return launches(self.regions, back=wanted is not Wanted.VALUE)

    def operands(self, batch: Batch, weights: Weights) -> list[Tensor]:
        """Tables of weights by group, then log-densities of leaves without tables."""
        return operands_by_group(weights, self.leaves, batch.x)

    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """See `Engine`. Triton also needs a C compiler."""
        if self.precision is None:
            self.runner.precision = _PRECISIONS[torch.get_float32_matmul_precision()]
        tables = [table.detach().contiguous() for table in operands[: self.tables]]
        given, keep = operands[self.tables :], wanted is not Wanted.VALUE
        case = len(batch.x), wanted, self.runner.precision
        try:
            if case not in self.compiled and self._compiles_ahead():
                self.runner.compile(batch.x, tables, given, keep, wanted is Wanted.COUNTS)
            with self._rounding():
                value, kept = self.runner.forward(batch.x, tables, given, keep)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # Triton has no common class for its errors
            if self.compiled:
                raise
            raise KernelError(f"Triton failed: {str(error)[:200]}") from error
        self.compiled.add(case)
        return value, Ascent((*kept, *tables), _Source(batch, operands))

    def _compiles_ahead(self) -> bool:
        """Whether kernels can be compiled together: on a GPU, by a Triton that has the mode."""
        return (
            self.target.device.type == "cuda"
            and not torch.cuda.is_current_stream_capturing()
            and can_compile_ahead()
        )

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """See `Engine`. What it writes over is computed again if it is wanted twice."""
        if ascent.kept.spent:
            _, ascent = self.up(ascent.kept.batch, ascent.kept.operands, task.wanted)
        ascent.kept.spent = self.runner.in_place(len(task.flows))
        kept, tables = ascent.saved[: len(Kept._fields)], ascent.saved[len(Kept._fields) :]
        flows, counts = task.flows.contiguous(), task.wanted is Wanted.COUNTS
        with self._rounding():
            found, given = self.runner.backward(flows, Kept(*kept), tables, counts)
        return Descent((*found, *given))

    @contextmanager
    def _rounding(self) -> Generator[None]:
        """If a precision was given, torch's matrix products use it too."""
        before = torch.get_float32_matmul_precision()
        if self.precision is None:
            yield
            return
        torch.set_float32_matmul_precision("highest" if self.precision == "ieee" else "high")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
