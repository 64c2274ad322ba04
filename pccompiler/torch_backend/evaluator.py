"""Evaluation of a compiled circuit, as a torch module."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from pccompiler.ir import Circuit
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.data.by_name import numbers_by_name
from pccompiler.torch_backend.data.inputs import Rows
from pccompiler.torch_backend.data.likelihoods import (
    EvidenceOrIntervals,
    Intervals,
    Soft,
    has_intervals,
)
from pccompiler.torch_backend.data.replayed import replayed
from pccompiler.torch_backend.derivatives import evaluate
from pccompiler.torch_backend.engines.base import Engine, NoMatch, Target
from pccompiler.torch_backend.engines.budgeted.choose import choose
from pccompiler.torch_backend.engines.budgeted.schedule import Budget, Schedule, parse_bytes
from pccompiler.torch_backend.engines.optimize import Optimization
from pccompiler.torch_backend.engines.plain import Plain
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.engines.select import Engines
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.leaves.likelihoods import NOTHING, Likelihoods
from pccompiler.torch_backend.leaves.likely import log_values
from pccompiler.torch_backend.runtime.threads import few_threads
from pccompiler.torch_backend.runtime.transforms import outside_graphs, transformed
from pccompiler.torch_backend.trainable import Trainable
from pccompiler.torch_backend.weights.weights import Weights

_LARGE = 2**18
"""With more values than this it pays to look whether all are there: other kernels are faster."""
_MOST_REPLAYED = 4096
"""The most rows of a call that CUDA graphs are kept for; with more, launches hardly count."""


class Evaluator(Trainable):
    """A circuit that evaluates; `CompiledCircuit` also answers queries.

    Attributes:
        circuit: The compiled circuit, with its sectors and generator.
        plan: The plan that is evaluated.
        weights: The trainable parameters.
        numerics: How the plan's numeric forms were chosen.
        optimization: What ``compile(optimize=...)`` considered; ``None`` without it.
    """

    optimization: Optimization | None = None

    def __init__(
        self,
        circuit: Circuit,
        plan: Plan,
        *,
        device: torch.device,
        dtype: torch.dtype,
        seed: int,
        numerics: str = "auto",
    ) -> None:
        super().__init__(circuit)
        self.numerics = numerics
        self.plan = plan
        self.weights = Weights(plan, dtype, seed)
        self._engines: Engines | None = None
        self._without_kernels: tuple[torch.device, torch.dtype] | None = None
        self._budget: Budget | None = None
        self._leaf_inputs: LeafInputs | None = None
        self._plain: Plain | None = None
        self.to(device)

    def __getstate__(self) -> dict[str, Any]:
        """State without engines and index tensors: a copy rebuilds them, and some don't pickle."""
        derived = ("_engines", "_leaf_inputs", "_plain", "replays", "_states")
        return {**self.__dict__, **dict.fromkeys(derived)}

    @property
    def engines(self) -> Engines:
        """The engines for the plan, on the parameters' device and in their precision."""
        device, dtype = self.device, self.dtype
        known = self._engines
        if known is None or (known.target.device, known.target.dtype) != (device, dtype):
            target = Target(device, dtype, budget=self._budget)
            kernels = self._without_kernels != (device, dtype)
            known = self._engines = Engines(self.plan, target, self.weights, kernels=kernels)
        return known

    @property
    def kernels(self) -> Engine | None:
        """The engine with fused kernels that fits the plan and the device, if any."""
        for kind in self.engines.kinds:
            found = self.engines.ask(kind, Wanted.VALUE) if kind.in_kernels else None
            if found is not None and not isinstance(found, NoMatch):
                return found
        return None

    def without_kernels(self) -> None:
        """Evaluate layer by layer on this device from now on, for comparison."""
        self._without_kernels = self.device, self.dtype
        self.engines.turn_off_kernels()

    def definition(self, device: torch.device, dtype: torch.dtype) -> Plain:
        """The definition of the plan's value in plain torch operations."""
        known = self._plain
        if known is None or (known.device, known.dtype) != (device, dtype):
            known = self._plain = Plain(self.plan, device, dtype)
        return known

    @property
    def leaf_inputs(self) -> LeafInputs:
        """Turns rows into the engine's inputs, on the parameters' device."""
        known = self._leaf_inputs
        if known is None or (known.device, known.dtype) != (self.device, self.dtype):
            known = self._leaf_inputs = LeafInputs(self.plan, self.device, self.dtype)
        return known

    @outside_graphs
    def forward(
        self,
        x: EvidenceOrIntervals,
        complete: bool = False,
        *,
        soft: Soft | None = None,
        intervals: Intervals | None = None,
    ) -> Tensor:
        """Log-likelihood of each row, with checks: `log_likelihood` in one batch.

        Args:
            x: Any input of `log_likelihood`.
            complete: Promises that nothing is missing, which makes the backward pass faster.
            soft: See `log_likelihood`.
            intervals: See `log_likelihood`.

        Returns:
            Shape ``(batch,)``, on the model's device. Differentiable, also with respect to ``x``.

        Raises:
            DataError: As `log_likelihood`, or if ``complete`` is set and a value is missing.
        """
        if soft is not None or intervals is not None or has_intervals(x):
            return self.evaluate_likely(*self.known(x, soft, intervals))
        return self.evaluate_unchecked(self.checked(x, complete=complete), complete)

    def evaluate_unchecked(self, x: Tensor, complete: bool = False) -> Tensor:
        """Log-likelihood of rows that `checked` returned; anything else may crash the process.

        It never synchronizes with the device, so a CUDA graph may capture it.
        """
        if len(x) == 0:
            return self._of_no_rows(x)
        return evaluate(self, x, complete)

    def evaluate_once(
        self, x: Tensor, complete: bool = False, likelihoods: Likelihoods = NOTHING
    ) -> Tensor:
        """`evaluate_unchecked` by the fastest engine within the budget; differentiable once.

        No engine with a budget takes ``likelihoods``.
        """
        given: Mapping[int, Tensor] = {}
        if likelihoods:
            own = self.weights.leaves(tables=True)
            given = log_values(self.leaf_inputs, x, own, likelihoods)
        value = self.engines.evaluate(x, complete, given=given)
        return value + self.plan.log_scale if self.plan.log_scale else value

    def _of_no_rows(self, x: Tensor) -> Tensor:
        """The empty result for no rows; gradients of its sum are zeros."""
        none = x.sum(1)
        for parameter in self.parameters():
            none = none + parameter.sum()
        return none

    @property
    def schedule(self) -> Schedule | None:
        """The schedule that keeps the memory budget; ``None`` without a budget."""
        return None if self._budget is None else self._budget.schedule

    def keep_within(self, budget: int | str) -> None:
        """Evaluate and train within a memory budget, not counting parameters and data.

        Args:
            budget: A number of bytes, or text such as ``"64 MiB"``.

        Raises:
            OptionError: If it is neither, or a single row needs more.
        """
        allowed = parse_bytes(budget)
        self._budget = choose(self.circuit, self.precision, self.numerics, allowed, self.plan)
        self._engines = None

    @numbers_by_name
    @outside_graphs
    def log_likelihood(
        self,
        x: EvidenceOrIntervals,
        *,
        mask: Rows | None = None,
        missing: float | None = None,
        check: bool = True,
        soft: Soft | None = None,
        intervals: Intervals | None = None,
    ) -> Tensor:
        """Log-likelihood of each row of ``x``, in nats; a log-density if variables are real.

        Missing values are integrated out exactly, so this is the log-marginal of the observed ones.
        Under ``torch.no_grad()`` rows are evaluated in batches that fit in memory.
        docs/howto/soft-evidence.md explains soft and interval evidence.

        Args:
            x: Shape ``(batch, variables)``; NaN is a missing value. A tensor on any device, an
                array or nested list; a data frame, whose columns are matched by name and must all
                be there; or a dict, or a list of dicts, where omitted variables are missing.
            mask: Shape ``(batch, variables)``, true where a value is missing.
            missing: A number that marks missing values in integer input, such as -1.
            check: Whether to look for values out of range (reads the data once, and synchronizes
                once with a GPU).
            soft: Log-likelihoods of states by variable, each of shape ``(batch, states)``, such as
                a classifier's outputs: states of missing values are weighted by them.
            intervals: ``(low, high)`` by variable, ``None`` for an open end: the value lies there.

        Returns:
            Shape ``(batch,)``; ``-inf`` where the density is zero. Differentiable.

        Raises:
            DataError: If the columns do not fit the circuit's variables, or a value is not a state
                of its variable.
        """
        if soft is not None or intervals is not None or has_intervals(x):
            known = self.known(x, soft, intervals, mask=mask, missing=missing, check=check)
            return self.evaluate_likely(*known)
        if self.device.type == "cuda" and not torch.is_grad_enabled() and not transformed():
            rows = self.prepare(x, mask=mask, missing=missing)
            most = min(self.evaluation_batch, _MOST_REPLAYED)
            engine = self.engines.choose(Wanted.VALUE)
            complete = self._worth_knowing(rows) and not bool(rows.isnan().any())
            name = "log_likelihood, complete" if complete else "log_likelihood"
            run = partial(self._value, complete)
            found = replayed(self, engine, name, rows, run, most, check=check, complete=complete)
            if found is not None:
                return found[0]
            x, mask, missing = rows, None, None
        taken = self.checked if check else self.prepare
        rows = taken(x, mask=mask, missing=missing)
        if torch.is_grad_enabled():
            return self.evaluate_unchecked(rows)
        parts = rows.split(self.evaluation_batch)
        return torch.cat([self.evaluate_unchecked(part) for part in parts])

    def evaluate_likely(self, x: Tensor, likelihoods: Likelihoods) -> Tensor:
        """Log-likelihood of checked rows with soft and interval evidence, shape (batch,)."""
        if len(x) == 0 or not likelihoods:
            return self.log_likelihood(x, check=False)
        if torch.is_grad_enabled():
            return evaluate(self, x, complete=False, likelihoods=likelihoods)
        parts = likelihoods.split(x, self.evaluation_batch)
        return torch.cat([evaluate(self, part, False, own) for part, own in parts])

    @staticmethod
    def _worth_knowing(rows: Tensor) -> bool:
        return rows.numel() > _LARGE and not torch.cuda.is_current_stream_capturing()

    def _value(self, complete: bool, rows: Tensor, _: object) -> tuple[Tensor]:
        return (self.evaluate_unchecked(rows, complete),)

    def threads(self, rows: int) -> AbstractContextManager[None]:
        """`few_threads` for operations on ``rows`` rows."""
        return few_threads(self.plan, self.device, rows)

    def forward_threads(self, rows: int) -> AbstractContextManager[None]:
        """`threads` for `forward` and its gradient; kernels choose their own thread counts."""
        return self.engines.choose(Wanted.VALUE).threads(rows)

    @cached_property
    def _peak_values(self) -> int:
        return self.plan.cost(1).peak_values

    @property
    def evaluation_batch(self) -> int:
        """Rows to evaluate at once without gradients: about 1 GiB of live values.

        Fewer on a CPU, where values should fit the caches; more in kernels on a large GPU.
        """
        a_row = 2 * self._peak_values * self.dtype.itemsize
        return self.engines.choose(Wanted.VALUE).rows_at_once(a_row)
