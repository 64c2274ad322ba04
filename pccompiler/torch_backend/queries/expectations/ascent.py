"""One pass up that carries pairs: a unit's log-density of the evidence, and conditional values.

Let ``p`` be the density of the evidence and ``e`` a conditional expectation given it. A product
adds the logarithms of ``p``, and adds (or multiplies) the ``e`` of its operands, which are over
disjoint variables. A sum with weights ``w`` mixes ``e`` by the posterior of its operands, that is,
by ``r_i = w_i p_i / sum_j w_j p_j``. Signed values are thus never put into logarithms.

Source:
    Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations", section 4;
    Khosravi et al. (2019), "On Tractable Computation of Expected Predictions".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.arrays import Int
from pccompiler.torch_backend.engines.arena.program import (
    BagStep,
    DenseStep,
    InputStep,
    ProductStep,
    program_of,
)
from pccompiler.torch_backend.engines.arena.tables import Tables, tables_of
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.queries.expectations.model_leaves import leaves_of
from pccompiler.torch_backend.queries.expectations.store import Store
from pccompiler.torch_backend.values import ratio, safe_log, surprise, top_of

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator

Mode = Literal["sum", "product", "entropy", "covariance"]
_BYTES = 2**27
"""Memory for values of one chunk of rows."""


class Known:
    """A model's weights in float64, generated once."""

    def __init__(self, model: Evaluator) -> None:
        self.model, self.program = model, program_of(model.plan, model.device)
        found: tuple[list[Tensor], dict[int, Tensor]] = model.weights()
        self.weights, self.given = found
        self.leaves: dict[int, Units] = leaves_of(model, *found)
        self.starts: Int = np.array([step.start for step in self.program.steps], np.int64)

    def variables(self, number: int) -> list[int]:
        """The variable of each row of an input layer."""
        found = self.model.plan.layers[number].variables
        return [] if found is None else found.tolist()

    def chunk(self, channels: int) -> int:
        """Rows of evidence per chunk."""
        return max(1, _BYTES // (8 * self.program.rows * (channels + 1)))


class Ascent:
    """The pass up for some rows of evidence.

    Args:
        known: The model.
        rows: Shape (batch, variables), NaN where missing.
        values: Input layer to conditional values of its units, (rows * units, channels, batch).
        mode: ``"sum"`` and ``"product"`` say how values over disjoint variables are combined.
            ``"entropy"`` is a sum to which each mixture adds the entropy of its shares.
            ``"covariance"`` has channels ``a, b_1 ... b_k, c_1 ... c_k`` with means ``a`` and
            ``b``, and covariances ``c_j`` of the first with ``b_j``: the law of total covariance.
    """

    def __init__(self, known: Known, rows: Tensor, values: dict[int, Tensor], mode: Mode) -> None:
        self.known, self.values, self.mode = known, values, mode
        inputs = known.model.leaf_inputs(rows, known.given)
        tables = tables_of(known.model.plan, known.program, inputs, known.weights)
        self.tables: Tables = tables
        self.edges = tables.edges.double()
        self.store = Store(known.starts)

    def run(self) -> tuple[Tensor, Tensor]:
        """Log-density of the evidence, (batch,), and root values, (channels, batch)."""
        for step in self.known.program.steps:
            if isinstance(step, InputStep):
                made = self.input(step), self.values[step.number]
            elif isinstance(step, ProductStep):
                made = self.product(step)
            elif isinstance(step, BagStep):
                made = self.bag(step)
            elif isinstance(step, DenseStep):
                made = self.dense(step)
            else:
                raise AssertionError("there are four kinds of step")  # pragma: no cover
            self.store.add(*made)
        logs, values = self.store.steps[-1]
        return logs[-1], values[-1]

    def input(self, step: InputStep) -> Tensor:
        """Log-densities of leaves."""
        given = self.tables.inputs[step.number].double()
        weight = self.tables.dense.get(step.number)
        if weight is None:
            logs = safe_log(given) if step.number in self.tables.indicators else given
        else:
            logs = safe_log(torch.bmm(weight.double(), given))
        return logs.reshape(step.stop - step.start, -1)

    def product(self, step: ProductStep) -> tuple[Tensor, Tensor]:
        """Operands over disjoint variables."""
        made: list[tuple[Tensor, Tensor]] = []
        for _, factors in step.parts:
            logs, values = self.store.gather(_array(factors[0]))
            for factor in factors[1:]:
                more, others = self.store.gather(_array(factor))
                logs = logs + more
                values = values * others if self.mode == "product" else values + others
            made.append((logs, values))
        return torch.cat([logs for logs, _ in made]), torch.cat([values for _, values in made])

    def bag(self, step: BagStep) -> tuple[Tensor, Tensor]:
        """Sums of one unit, part by part."""
        source, weights = _array(step.source), safe_log(self.edges[step.edges])
        made: list[tuple[Tensor, Tensor]] = []
        edge = 0
        for rows, fan_in in step.parts:
            here = slice(edge, edge + rows * fan_in)
            below, values = self.store.gather(source[here])
            terms = (below + weights[here].unsqueeze(1)).view(rows, fan_in, -1)
            values = self.lift(values).view(rows, fan_in, values.shape[1], -1)
            top = top_of(terms, 1)
            parts = (terms - top).exp()
            total = parts.sum(1)
            shares = ratio(parts, total.unsqueeze(1).expand_as(parts))
            mixed = (shares.unsqueeze(2) * values).sum(1)
            if self.mode == "entropy":
                mixed = mixed + surprise(shares).sum(1).unsqueeze(1)
            made.append((safe_log(total) + top.squeeze(1), self.lower(mixed)))
            edge += rows * fan_in
        return torch.cat([logs for logs, _ in made]), torch.cat([values for _, values in made])

    def dense(self, step: DenseStep) -> tuple[Tensor, Tensor]:
        """Sums of several units over the same operands, by matrix products."""
        weight = self.tables.dense[step.number].double()
        below, values = self.store.gather(_array(step.source))
        channels, batch = values.shape[1:]
        below = below.view(step.rows, step.fan_in, batch)
        top = top_of(below, 1)
        shifted = below - top
        parts = shifted.exp()
        total = torch.bmm(weight, parts)
        lifted = self.lift(values).view(step.rows, step.fan_in, channels, batch)
        weighed = (parts.unsqueeze(2) * lifted).flatten(2)
        mixed = torch.bmm(weight, weighed).unflatten(2, (channels, batch))
        mixed = ratio(mixed, total.unsqueeze(2).expand_as(mixed))
        if self.mode == "entropy":
            own = torch.bmm(-surprise(weight), parts)
            lengths = parts * shifted.masked_fill(shifted == -torch.inf, 0.0)
            spent = ratio(own + torch.bmm(weight, lengths), total)
            positive = total > 0.0
            gain = torch.where(positive, total.masked_fill(~positive, 1.0).log() - spent, 0.0)
            mixed = mixed + gain.unsqueeze(2)
        logs = safe_log(total) + top
        return logs.flatten(0, 1), self.lower(mixed.flatten(0, 1))

    def lift(self, values: Tensor) -> Tensor:
        """The values that sums mix; with covariances, the means of products."""
        return values if self.mode != "covariance" else self._shift(values, 1.0)

    def lower(self, values: Tensor) -> Tensor:
        """From the means of products back to covariances."""
        return values if self.mode != "covariance" else self._shift(values, -1.0)

    def _shift(self, values: Tensor, sign: float) -> Tensor:
        first, means, joint = values.split([1, values.shape[1] // 2, values.shape[1] // 2], dim=1)
        return torch.cat([first, means, joint + sign * first * means], dim=1)


def _array(index: Tensor) -> Int:
    found: Int = index.cpu().numpy()
    return found
