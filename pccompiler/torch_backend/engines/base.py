"""What an engine is: something that evaluates a plan on a device, upwards and downwards.

Everything above is written once, against this: gradients, expectation maximisation, posteriors,
samples and decoding. `pccompiler.torch_backend.engines.select` picks the engine for each question.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.budgeted.schedule import Budget
from pccompiler.torch_backend.runtime.threads import few_threads
from pccompiler.torch_backend.weights.weights import Weights


class Wanted(Enum):
    """The questions that engines answer."""

    VALUE = "value"
    """Log-likelihoods."""
    GRADIENT = "gradient"
    """Log-likelihoods, and their gradients by the engine's own operands."""
    COUNTS = "counts"
    """The same by the plan's operands: what expectation maximisation counts."""
    POSTERIOR = "posterior"
    """The share of each leaf in the root's value."""
    DRAWS = "draws"
    """The leaves of an induced tree that is drawn in proportion to its value."""
    BEST = "best"
    """The leaves of the induced tree of the largest value."""


class NoMatch(Exception):  # noqa: N818  # a verdict, not a failure
    """Why an engine does not run a plan.

    Attributes:
        reason: A clause: ``"layer 3 is a kronecker layer"``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Target:
    """Where a plan is to run.

    Attributes:
        device: Of parameters and data.
        dtype: Of parameters and results.
        batch: Rows to expect at a time, if that is known.
        budget: How a number of bytes is kept to, if there is such a limit.
    """

    device: torch.device
    dtype: torch.dtype
    batch: int | None = None
    budget: Budget | None = None


class Batch(NamedTuple):
    """Rows of data: shape (batch, variables), NaN where missing; and whether none is missing."""

    x: Tensor
    complete: bool = False


class Ascent(NamedTuple):
    """What the way up leaves for the way down: tensors, and anything else of the engine's own."""

    saved: Sequence[Tensor] = ()
    kept: Any = None  # only the engine that made it looks inside


@dataclass(frozen=True, eq=False)
class Descent:
    """What the way down finds.

    Attributes:
        operands: Of `Wanted.GRADIENT` and `Wanted.COUNTS`: the gradient by each operand.
        leaves: Of the other questions: input layer to what reaches its units, shape (rows, units,
            batch). For `Wanted.DRAWS` and `Wanted.BEST` it is all of a row's flow or nothing.
    """

    operands: Sequence[Tensor | None] = ()
    leaves: Mapping[int, Tensor] = field(default_factory=dict[int, Tensor])


Evaluate = Callable[[Tensor, bool], Tensor]
"""From rows, and whether no value is missing, to log-likelihoods without `Plan.log_scale`."""


class Engine(ABC):
    """Evaluates one plan on one target.

    An engine computes from *operands*, tensors that torch differentiates. For values and gradients
    they are whatever `operands` makes of the weights. For all other questions they are the plan's:
    one tensor for each input layer (`pccompiler.torch_backend.leaves.inputs.LeafInputs`), then one
    for each use of weights that has a table, as a call of `Weights` returns them.

    Attributes:
        name: In logs and in `pccompiler.explain`.
        answers: The questions that it can answer.
        only_device: The only type of device that it runs on, if there is one.
        only_dtype: The only precision that it computes in, if there is one.
        in_kernels: Whether it runs in fused kernels, which `without_kernels` turns off.
        splits: Whether it takes any number of rows and splits them up by itself.
        most_rows: The most rows that it takes at once; ``None``: any number.
        plan: What it evaluates.
        target: Where.
    """

    name: ClassVar[str]
    answers: ClassVar[frozenset[Wanted]]
    only_device: ClassVar[str | None] = None
    only_dtype: ClassVar[torch.dtype | None] = None
    in_kernels: ClassVar[bool] = False
    splits: ClassVar[bool] = False
    most_rows: ClassVar[int | None] = None

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan, self.target = plan, target

    @classmethod
    def match(cls, plan: Plan, target: Target, wanted: Wanted) -> Self | NoMatch:
        """An engine for the question, or the reason why there is none.

        It looks at the plan only: the device need not be there before `load`.
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
            return NoMatch(why.reason)  # a traceback would keep graphs of callers alive

    @classmethod
    def fit(cls, plan: Plan, target: Target) -> Self:
        """An engine for the plan.

        Raises:
            NoMatch: If it is not of the kind that the engine runs; says why.
        """
        return cls(plan, target)

    def load(self, weights: Weights, rest: Evaluate) -> None:  # noqa: B027  # nothing to do
        """Get ready: index tensors on the device, compiled kernels. Called once, before `up`.

        Args:
            weights: Whose values the operands will be made of.
            rest: Evaluates by the engines that come after this one.

        Raises:
            NoMatch: If the device or the weights do not fit after all.
            KernelError: If kernels cannot be compiled.
        """

    @abstractmethod
    def operands(self, batch: Batch, weights: Weights) -> Sequence[Tensor]:
        """What `up` computes from, for values and gradients."""

    @abstractmethod
    def up(self, batch: Batch, operands: Sequence[Tensor], wanted: Wanted) -> tuple[Tensor, Ascent]:
        """Log-values of the root without `Plan.log_scale`, shape (batch,), and what `down` needs.

        Raises:
            KernelError: If kernels do not run.
        """

    def down(
        self,
        ascent: Ascent,
        flows: Tensor,
        wanted: Wanted,
        generator: torch.Generator | None = None,
    ) -> Descent:
        """The way down, for a question other than a value.

        Args:
            ascent: From `up`, for the same question.
            flows: What the root has of each row, shape (batch,): the derivative of a loss by its
                logarithm, or 1. Draws may be more than the one row that went up.
            wanted: The question.
            generator: Of draws.
        """
        raise NotImplementedError(f"{self.name} only goes up")

    def launches(self, wanted: Wanted) -> int | None:
        """Kernels of its own that one evaluation starts, apart from those that make weights.

        ``None``: torch or the device decides. It is known before `load`.
        """
        return None

    def threads(self, rows: int) -> AbstractContextManager[None]:
        """`few_threads` for so many rows: kernels count their work by themselves."""
        return few_threads(self.plan, self.target.device, 0 if self.in_kernels else rows)

    def release(self) -> None:  # noqa: B027  # nothing to do
        """Give memory back that was kept for the next batch."""
