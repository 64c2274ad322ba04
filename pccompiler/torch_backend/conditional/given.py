"""A compiled circuit while an external module's output takes the place of its parameters."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from pccompiler.errors import DataError, OptionError
from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.torch_backend.conditional.evaluation import RowEvaluation
from pccompiler.torch_backend.conditional.row_weights import RowWeights
from pccompiler.torch_backend.data.inputs import Rows
from pccompiler.torch_backend.data.likelihoods import EvidenceOrIntervals, Intervals, Soft
from pccompiler.torch_backend.derivatives import evaluate
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.leaves.likelihoods import Likelihoods
from pccompiler.torch_backend.model import CompiledCircuit

_BYTES = 2**28
"""Memory for the weights and values of one chunk of rows without gradients."""


class GivenCircuit(CompiledCircuit):
    """A circuit whose covered parameters only hold the last output that was put in their place."""

    answers_by_name = False  # the model that it is part of does
    given: RowWeights | None = None
    raw: dict[str, Tensor] | None = None

    def freeze(self, weights: Int) -> None:
        """No gradients for parameters all of whose weights are given."""
        for number, group in enumerate(self.plan.groups):
            if np.isin(group.weights, weights).all():
                self.weights.values[parameter_name(self.plan, number)].requires_grad_(False)

    @contextmanager
    def with_rows(self, weights: RowWeights) -> Generator[None]:
        """Evaluate rows with weights of their own in this block."""
        self.given = weights
        try:
            yield
        finally:
            self.given = None

    @contextmanager
    def with_raw(self, raw: dict[str, Tensor]) -> Generator[None]:
        """Evaluate all rows with raw values in place of parameters of these names in this block."""
        if not torch.is_grad_enabled():
            self.put(raw)
            yield
            return
        self.raw = raw
        try:
            yield
        finally:
            self.raw = None

    @property
    def heads_together(self) -> bool:
        """Not while weights are given: `log_joint` would use the parameters."""
        return self.given is None and self.raw is None and super().heads_together

    @torch.no_grad()
    def put(self, raw: dict[str, Tensor]) -> None:
        """Write raw values over parameters."""
        for name, value in raw.items():
            self.weights.values[name].copy_(value)

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
        """As `CompiledCircuit.log_likelihood`, with whatever weights are given."""
        if self.given is None and self.raw is None:
            return super().log_likelihood(
                x, mask=mask, missing=missing, check=check, soft=soft, intervals=intervals
            )
        known = self.known(x, soft, intervals, mask=mask, missing=missing, check=check)
        return self.evaluate_likely(*known)

    def evaluate_likely(self, x: Tensor, likelihoods: Likelihoods) -> Tensor:
        """See `Evaluator.evaluate_likely`.

        Raises:
            OptionError: If there are likelihoods, and each row has weights of its own.
        """
        if self.raw is not None:
            named = {f"model.weights.values.{name}": value for name, value in self.raw.items()}
            value: Tensor = torch.func.functional_call(_Call(self), named, (x, likelihoods))
            return value
        if self.given is None:
            return super().evaluate_likely(x, likelihoods)
        if likelihoods:
            raise OptionError.of(
                "PC910",
                f"soft and interval evidence needs one row of context, not {len(self.given.made)}",
                help="ask for them one by one: model.given(context[i : i + 1])",
            )
        return self.by_rows(x, self.given)

    def by_rows(self, rows: Tensor, weights: RowWeights) -> Tensor:
        """Log-likelihoods of rows with weights of their own, in chunks if without gradients."""
        rows, weights = matched(rows, weights)
        most = len(rows) if torch.is_grad_enabled() else self.chunk(weights)
        parts = [
            RowEvaluation(self, rows[part], weights.some(part), Wanted.VALUE).root
            for part in slices(len(rows), most)
        ]
        return torch.cat(parts) + self.plan.log_scale

    def chunk(self, weights: RowWeights) -> int:
        """Rows at once, so that their weights and values take about 256 MiB."""
        values = sum(layer.rows * layer.units for layer in self.plan.layers)
        a_row = 4 * self.dtype.itemsize * (values + weights.largest)
        return max(1, _BYTES // a_row)


class _Call(nn.Module):
    """Log-likelihoods of checked rows, for `torch.func.functional_call`."""

    def __init__(self, model: GivenCircuit) -> None:
        super().__init__()
        self.model = model

    def forward(self, rows: Tensor, likelihoods: Likelihoods) -> Tensor:
        """Shape (batch,)."""
        if likelihoods:
            return evaluate(self.model, rows, complete=False, likelihoods=likelihoods)
        return self.model.evaluate_unchecked(rows)


def slices(rows: int, most: int) -> list[slice]:
    """Chunks of at most so many rows, at least one."""
    return [slice(start, min(start + most, rows)) for start in range(0, max(rows, 1), max(most, 1))]


def matched(rows: Tensor, weights: RowWeights) -> tuple[Tensor, RowWeights]:
    """Rows and weights, as many of one as of the other.

    A single row is paired with every row of the context.

    Raises:
        DataError: If the numbers do not fit.
    """
    there, contexts = len(rows), len(weights.made)
    if there == 1:
        return rows.expand(contexts, -1), weights
    if there == contexts:
        return rows, weights
    raise DataError.of(
        "PC924",
        f"there are {there} rows, but the context has {contexts}",
        help="give one row of context for all rows, or one for each",
    )
