"""The M-step: parameters of one group from its statistics, at once or a step of the way.

Stepwise EM keeps a running mean of each unit's statistics. It is enough to keep the running number
of rows: the old parameters then stand for all statistics before. Or they stand for as many rows as
the model itself expects to reach the unit, its top-down probability: then a step maximises the
batch's expected log-likelihood less a multiple of the divergence from the old model.

Source:
    Cappé and Moulines (2009), "Online Expectation-Maximization Algorithm for Latent Data Models";
    Liu, Shao and Van den Broeck (2025), "Rethinking Probabilistic Circuit Parameter Learning".
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pccompiler.ir.plan.layers import WeightGroup
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.torch_backend.leaves.fitting.statistics import Estimate, Statistics
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.model import CompiledCircuit
from pccompiler.torch_backend.training.assign import assign
from pccompiler.torch_backend.training.em.rows_cuda import update_on_cuda
from pccompiler.torch_backend.weights.supports import SIMPLEX


class Pace(NamedTuple):
    """How far a step goes.

    Attributes:
        step_size: From 0 to 1.
        pseudocount: Number of prior rows of each unit.
        top_down: Whether the old parameters of a unit count for as many rows as its top-down
            probability, instead of the running number.
    """

    step_size: float
    pseudocount: float
    top_down: bool = False


class Update(Protocol):
    """Updates the parameters of one group, in place."""

    rows: Tensor
    """Rows that each unit's old parameters count for, shape (weights, rows, 1); NaN: as the new."""

    def __call__(self, table: Tensor | None, counts: Tensor | None, scale: Tensor) -> None:
        """Update.

        Args:
            table: The current table of weights, for groups that have one.
            counts: Expected counts of its entries.
            scale: Factor for all statistics, 0-d, float64.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """What later updates depend on, except for the model's parameters."""
        ...

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore a `state`, in place."""
        ...


class RowUpdate:
    """Probabilities that sum to one, in the model's precision; their parameters are logarithms."""

    def __init__(self, model: CompiledCircuit, number: int, pace: Pace) -> None:
        self.pace, self.floor = pace, model.plan.floor
        self.parameter = model.weights.values[parameter_name(model.plan, number)]
        shape = (*self.parameter.shape[:-1], 1)
        self.rows = torch.full(shape, torch.nan, dtype=torch.float64, device=model.device)

    def __call__(self, table: Tensor | None, counts: Tensor | None, scale: Tensor) -> None:
        """See `Update`."""
        if table is None or counts is None:
            raise AssertionError("probabilities are updated from counts")  # pragma: no cover
        raw = self.parameter.detach()
        if update_on_cuda(raw, table, counts, self.rows, scale, self.pace[:2], self.floor):
            torch.autograd.graph.increment_version(self.parameter)  # the kernel does not tell torch
            return
        values = self._stepped(table, counts, scale)
        raw.copy_(SIMPLEX.unconstrain(values, self.floor))

    def _stepped(self, table: Tensor, counts: Tensor, scale: Tensor) -> Tensor:
        """The definition, in plain torch operations."""
        step, prior, _ = self.pace
        spread = counts * scale + prior / counts.shape[-1]
        total = spread.sum(-1, keepdim=True, dtype=torch.float64)
        part = part_of(total, self.rows, step)
        gain = torch.where(part > 0.0, part / total, 0.0).to(table)
        return (1.0 - part).to(table) * table + gain * spread.to(table)

    def state(self) -> dict[str, Tensor]:
        """The running numbers of rows."""
        return {"rows": self.rows}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """See `Update`."""
        self.rows.copy_(tensors["rows"])


class ValueUpdate:
    """Parameters of any leaf family, in float64, from its own statistics."""

    def __init__(
        self,
        model: CompiledCircuit,
        number: int,
        pace: Pace,
        values: Tensor,
        statistics: Statistics | None,
    ) -> None:
        self.model, self.number, self.pace = model, number, pace
        self.group, self.statistics = model.plan.groups[number], statistics
        self.values = values
        self.rows = torch.full_like(values[..., :1], torch.nan)

    def __call__(self, table: Tensor | None, counts: Tensor | None, scale: Tensor) -> None:
        """See `Update`."""
        step, prior, _ = self.pace
        if self.statistics is not None:
            new = self.statistics.estimate(self.values, scale, prior)
        elif counts is not None:
            new = _from_counts(self.group, scale * counts.double(), prior)
        else:
            raise AssertionError("a table is estimated from counts")  # pragma: no cover
        part = part_of(new.rows, self.rows, step)
        fresh = torch.where(part > 0.0, new.values, self.values)
        leaf = leaf_of(self.group.owner)
        self.values.copy_(leaf.blend(self.values, fresh, part))
        assign(self.model, self.number, self.values)

    def state(self) -> dict[str, Tensor]:
        """The parameters in float64, and the running numbers of rows."""
        return {"values": self.values, "rows": self.rows}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """See `Update`."""
        self.values.copy_(tensors["values"])
        self.rows.copy_(tensors["rows"])


def part_of(total: Tensor, rows: Tensor, step: float) -> Tensor:
    """The part of the way to go, shape of ``total``; also updates the running ``rows``, in place.

    Args:
        total: Number of rows that the new estimate is based on.
        rows: Running number of rows before; NaN if there were none.
        step: The step size.
    """
    seen = step * total
    before = torch.where(rows.isnan(), total, rows)
    rows.copy_((1.0 - step) * before + seen)
    return torch.where(seen > 0.0, seen / rows, 0.0)


def _from_counts(group: WeightGroup, counts: Tensor, pseudocount: float) -> Estimate:
    """Leaves that are tables: counts divided by their total."""
    spread = counts + pseudocount / counts.shape[-1]
    rows = spread.sum(-1, keepdim=True)
    return Estimate(leaf_of(group.owner).from_counts(spread / rows), rows)
