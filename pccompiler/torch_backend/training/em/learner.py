"""The steps of expectation maximisation, and their state between batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.torch_backend.leaves.fitting.columns import Columns
from pccompiler.torch_backend.leaves.fitting.statistics import Estimate, Setting, Statistics
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.assign import assign
from pccompiler.torch_backend.training.course import Facts
from pccompiler.torch_backend.training.em.expectation import Flows, flows, has_counts
from pccompiler.torch_backend.training.history import trained_parameters
from pccompiler.torch_backend.training.leaf_pools import leaf_owners, leaf_pools

_BYTES = 2**30


class Learner:
    """Parameters by their meaning, and the leaves' statistics. See `Worker`; a step is a pass.

    Args:
        model: Changed in place, except for its frozen parameters.
        data: Rows of positive weight, as the model expects them.
        shares: Their weights, if any.
        rng: Random numbers for the order of the rows.
        batch_size: Rows between two updates; ``None`` for all.
        step_size: See `fit_em`.
        pseudocount: See `fit_em`.
    """

    remedy = "raise the pseudocount, or initialise the model from the data"

    def __init__(
        self,
        model: CompiledCircuit,
        data: Tensor,
        shares: Tensor | None,
        rng: np.random.Generator,
        *,
        batch_size: int | None,
        step_size: float,
        pseudocount: float,
    ) -> None:
        self.model, self.step_size, self.pseudocount = model, step_size, pseudocount
        self.data, self.shares, self.batch_size, self.rng = data, shares, batch_size, rng
        self.before = rng.bit_generator.state  # before the current pass drew its order
        self.done, self.sum = 0, 0.0  # batches of the current pass, and their log-likelihood
        trained = trained_parameters(model)
        self.learning = {
            number
            for number in range(len(model.plan.groups))
            if parameter_name(model.plan, number) in trained
        }
        self.total = _mass(data, shares)
        self.complete = not bool(data.isnan().any())
        self.part = _rows_at_once(model)
        known = materialize(model.plan, model.weights.layout, model.parameters_as_numpy())
        self.values = [torch.from_numpy(np.array(table)).to(model.device) for table in known]
        self.rows: dict[int, Tensor] = {}
        self.leaves = _leaf_statistics(model, data)

    def work(self, step: int, most: int, look: Callable[[], None]) -> tuple[int, float]:
        """A pass, or the rest of one; log-likelihoods are those before each update."""
        batches = _batches(self.rng, self.data, self.shares, self.batch_size)
        for rows, shares in batches[self.done :]:
            self.sum += self.step(rows, shares)
            if not math.isfinite(self.sum):
                return 1, self.sum
            self.done += 1
            look()
        mean = self.sum / sum(_mass(*batch) for batch in batches)
        self.before, self.done, self.sum = self.rng.bit_generator.state, 0, 0.0
        return 1, mean

    def state(self) -> tuple[dict[str, Tensor], Facts]:
        """Parameters in float64, running numbers of rows, and the position in the pass."""
        tensors = {f"values.{number}": table for number, table in enumerate(self.values)}
        tensors |= {f"rows.{number}": table for number, table in self.rows.items()}
        return tensors, {"random": self.before, "done": self.done, "sum": self.sum}

    def restore(self, tensors: dict[str, Tensor], facts: Facts) -> None:
        """See `Worker`."""
        self.values = [tensors[f"values.{n}"].to(v) for n, v in enumerate(self.values)]
        self.rows = {
            n: tensors[f"rows.{n}"].to(self.model.device)
            for n in range(len(self.values))
            if f"rows.{n}" in tensors
        }
        self.rng.bit_generator.state = self.before = facts["random"]
        self.done, self.sum = int(facts["done"]), float(facts["sum"])

    @torch.no_grad()
    def step(self, batch: Tensor, shares: Tensor | None) -> float:
        """One E-step and one M-step; returns the total log-likelihood before."""
        for leaf in self.leaves.values():
            leaf.clear()
        weights = {
            number: self.model.weights.constrained(number)
            for number in range(len(self.model.plan.groups))
        }
        counts: dict[int, Tensor] = {}
        total = 0.0
        for start in range(0, len(batch), self.part):
            part = slice(start, start + self.part)
            mine = None if shares is None else shares[part]
            found = flows(self.model, weights, batch[part], self.complete, mine)
            total += found.log_likelihood
            self._gather(counts, found)
        if math.isfinite(total):
            self._maximise(counts, self.total / _mass(batch, shares))
        return total

    def _gather(self, counts: dict[int, Tensor], found: Flows) -> None:
        for number, table in found.counts.items():
            if number in counts:
                counts[number] += table
            else:
                counts[number] = table.double()
        for layer, column, shares in found.shares:
            leaves = self.leaves[self.model.plan.layers[layer.number].group]
            leaves.add(layer.number, column, shares, layer.constants)

    def _maximise(self, counts: dict[int, Tensor], scale: float) -> None:
        for number, group in enumerate(self.model.plan.groups):
            if number not in self.learning:
                continue
            old = self.values[number]
            new = (
                _from_counts(group, scale * counts[number], self.pseudocount)
                if number in counts
                else self.leaves[number].estimate(old, scale, self.pseudocount)
            )
            seen = self.step_size * new.rows
            before = self.rows.get(number, new.rows)
            self.rows[number] = (1.0 - self.step_size) * before + seen
            part = torch.where(seen > 0.0, seen / self.rows[number], 0.0)
            fresh = torch.where(part > 0.0, new.values, old)
            self.values[number] = (
                old + part * (fresh - old)
                if group.is_sum
                else leaf_of(group.owner).blend(old, fresh, part)
            )
            assign(self.model, number, self.values[number])


def _leaf_statistics(model: CompiledCircuit, data: Tensor) -> dict[int, Statistics]:
    """Statistics for each group of leaves that needs more than expected counts."""
    columns = Columns(data.double().cpu().numpy(), model.circuit.variables)
    owners = leaf_owners(model.circuit)
    found: dict[int, Statistics] = {}
    for number, group in enumerate(model.plan.groups):
        if not has_counts(group):
            _, pools = leaf_pools(owners, group, columns)
            setting = Setting(model.plan, group, columns, pools, model.device)
            found[number] = leaf_of(group.owner).statistics(setting)
    return found


def _from_counts(group: WeightGroup, counts: Tensor, pseudocount: float) -> Estimate:
    """Sums and leaves that are tables: counts divided by their total."""
    spread = counts + pseudocount / counts.shape[-1]
    rows = spread.sum(-1, keepdim=True)
    values = spread / rows
    return Estimate(values if group.is_sum else leaf_of(group.owner).from_counts(values), rows)


def _rows_at_once(model: CompiledCircuit) -> int:
    """Rows whose forward and backward pass take about 1 GiB; fewer on a CPU, to fit the caches."""
    a_row = 3 * model.plan.cost(1).all_values * model.dtype.itemsize
    most = 500 if model.device.type == "cpu" else 32_768
    return max(1, min(most, _BYTES // max(a_row, 1)))


_Batch: TypeAlias = tuple[Tensor, Tensor | None]
"""Rows, with their weights if any."""


def counted(data: Tensor, weights: Tensor | None) -> _Batch:
    """Rows of positive weight, on their device."""
    if weights is None:
        return data, None
    shares = weights.to(data.device)
    return data[shares > 0.0], shares[shares > 0.0]


def _mass(data: Tensor, shares: Tensor | None) -> float:
    """The total weight of the rows."""
    return float(len(data)) if shares is None else float(shares.sum())


def _batches(
    rng: np.random.Generator, data: Tensor, shares: Tensor | None, batch_size: int | None
) -> list[_Batch]:
    """All rows, in random order if there are several batches."""
    if batch_size is None or batch_size >= len(data):
        return [(data, shares)]
    order = torch.from_numpy(rng.permutation(len(data))).to(data.device)
    return [
        (data.index_select(0, rows), None if shares is None else shares.index_select(0, rows))
        for rows in order.split(batch_size)
    ]
