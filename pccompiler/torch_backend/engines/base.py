"""The engine protocol: an engine evaluates a plan on a device, upwards and downwards.

Gradients, expectation maximisation, posteriors, samples and decoding are written once, against this
protocol. `pccompiler.torch_backend.engines.select` picks the engine for each question.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor

from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.budgeted.schedule import Budget
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Descent, Task, Wanted
from pccompiler.torch_backend.runtime.devices import total_memory
from pccompiler.torch_backend.runtime.threads import few_threads
from pccompiler.torch_backend.weights.weights import Weights

_MOST_ROWS = 32_768
_CPU_ROWS = 500
"""The most rows of one evaluation on a CPU, whose caches should hold the values."""
_BYTES = 2**30
"""Memory for the values of one evaluation."""
_SHARE = 16
"""The share of a GPU's memory that they may take, if that is more."""


class NoMatch(Exception):  # noqa: N818  # a verdict, not a failure
    """The reason why an engine does not run a plan.

    Attributes:
        reason: A clause: ``"layer 3 is a kronecker layer"``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Target:
    """Where a plan runs.

    Attributes:
        device: Device of parameters and data.
        dtype: Precision of parameters and results.
        budget: How to keep within a memory budget, if there is one.
    """

    device: torch.device
    dtype: torch.dtype
    budget: Budget | None = None


Evaluate = Callable[[Tensor, bool], Tensor]
"""Maps rows, and whether they are complete, to log-likelihoods without `Plan.log_scale`."""


class Engine(ABC):
    """Evaluates one plan on one target.

    An engine computes from *operands*. For values and gradients they are whatever `operands` makes
    of the weights, and torch differentiates them. For all other questions they are the tables of
    all groups that have one (`tables_by_group`), then the log-densities of all other leaf layers
    (without indicators), both in the order of the plan. For `Wanted.BEST`, log-densities of missing
    values are the largest ones.

    Attributes:
        name: Its name in logs and in `pccompiler.explain`.
        answers: The questions that it can answer.
        only_device: The only device type that it runs on, if restricted.
        only_dtype: The only precision that it computes in, if restricted.
        in_kernels: Whether it runs in fused kernels, which `without_kernels` turns off.
        takes_given: Whether it takes log-values in place of leaf tables (`Batch.given`), for soft
            and interval evidence.
        splits: Whether it accepts any number of rows and splits them itself.
        most_rows: The most rows that it accepts at once; ``None`` for any number.
        plan: The plan to evaluate.
        target: Where to evaluate it.
    """

    name: ClassVar[str]
    answers: ClassVar[frozenset[Wanted]]
    only_device: ClassVar[str | None] = None
    only_dtype: ClassVar[torch.dtype | None] = None
    in_kernels: ClassVar[bool] = False
    takes_given: ClassVar[bool] = False
    splits: ClassVar[bool] = False
    most_rows: int | None = None

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan, self.target = plan, target

    @classmethod
    def match(cls, plan: Plan, target: Target, wanted: Wanted) -> Self | NoMatch:
        """An engine for the question, or the reason why it does not fit.

        Only the plan is inspected: the device need not exist before `load`.
        """
        if wanted not in cls.answers:
            return NoMatch(f"it does not compute {wanted.value}")
        if cls.only_device not in (None, target.device.type):
            return NoMatch(f"it runs on {cls.only_device} only")
        if cls.only_dtype not in (None, target.dtype):
            return NoMatch(f"it computes in {str(cls.only_dtype).removeprefix('torch.')} only")
        try:
            return cls.fit(plan, target)
        except NoMatch as why:
            return NoMatch(why.reason)  # a traceback would keep the callers' graphs alive

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> Self:
        """An engine for the plan.

        Raises:
            NoMatch: If the engine does not support the plan, with the reason.
        """
        return cls(plan, target)

    def load(self, weights: Weights, rest: Evaluate) -> None:  # noqa: B027  # nothing to do
        """Prepare index tensors on the device and compile kernels. Called once, before `up`.

        Args:
            weights: The weights that operands will be made from.
            rest: Evaluates with the engines that come after this one.

        Raises:
            NoMatch: If the device or the weights do not fit after all.
            KernelError: If kernels cannot be compiled.
        """

    @abstractmethod
    def operands(self, batch: Batch, weights: Weights) -> Sequence[Tensor]:
        """What `up` computes from, for values and gradients."""

    @abstractmethod
    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """Log-values of the root without `Plan.log_scale`, shape (batch,), and input for `down`.

        Raises:
            KernelError: If kernels fail to run.
        """

    def down(self, ascent: Ascent, task: Task) -> Descent:
        """Run top-down, from what `up` left for the same question."""
        raise NotImplementedError(f"{self.name} does not run top-down")

    def launches(self, wanted: Wanted) -> int | None:
        """Number of its own kernels that one evaluation launches, without those for weights.

        ``None`` if torch or the device decides. It is known before `load`.
        """
        return None

    def threads(self, rows: int) -> AbstractContextManager[None]:
        """`few_threads` for ``rows`` rows; kernels choose their own thread counts."""
        return few_threads(self.plan, self.target.device, 0 if self.in_kernels else rows)

    def rows_at_once(self, a_row: int) -> int:
        """Rows to evaluate at once without gradients, if values of one take ``a_row`` bytes."""
        if self.splits:
            return _MOST_ROWS
        on_cpu, memory = self.target.device.type == "cpu", _BYTES
        if self.in_kernels and self.target.device.type == "cuda":
            memory = max(memory, total_memory(self.target.device) // _SHARE)
        return max(1, min(_CPU_ROWS if on_cpu else _MOST_ROWS, memory // max(a_row, 1)))

    @cached_property
    def row_bytes(self) -> int:
        """Memory that each row of a query takes at most, up and down."""
        units = [layer.rows * layer.units for layer in self.plan.layers]
        return self.target.dtype.itemsize * (2 * sum(units) + 8 * max(units))

    def release(self) -> None:  # noqa: B027  # nothing to do
        """Free memory that was kept for the next batch."""
