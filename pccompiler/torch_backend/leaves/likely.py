"""Leaves whose variables have likelihoods: their values, and what queries make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.inputs import LeafInputs, LeafLayer
from pccompiler.torch_backend.leaves.likelihoods import Likelihoods
from pccompiler.torch_backend.leaves.lookup import codes_of, extended
from pccompiler.torch_backend.leaves.tails import draw_within, log_interval
from pccompiler.torch_backend.values import draw_state, safe_log, top_of


@dataclass(frozen=True, eq=False)
class Leaves:
    """The leaves of a layer, and what is known of their variables.

    Attributes:
        layer: The layer.
        columns: The column of each row.
        parameters: As returned by `TorchLeaf.constrain`; ``None`` for indicators.
        x: Values of the rows' variables, shape (rows, 1, batch), NaN where missing.
        likelihoods: Likelihoods for as many rows.
        exact: See `LeafLayer.log_density`.
    """

    layer: LeafLayer
    columns: Sequence[int]
    parameters: Tensor | None
    x: Tensor
    likelihoods: Likelihoods
    exact: bool

    def log_values(self, before: Tensor | None = None, *, best: bool = False) -> Tensor:
        """Log-values given the likelihoods, shape (rows, units, batch).

        Args:
            before: Those without the likelihoods, if they are known.
            best: Whether to take the best state instead of the sum over states.

        Raises:
            CircuitError: If there is an interval for a family without a distribution function.
        """
        value = self._without() if before is None else before
        rows = self._rows(self.likelihoods.states)
        if best and self.layer.states:  # also without a likelihood, a missing state is the best
            rows = list(range(len(self.columns)))
        value = self._put(value, rows, self._best if best else self._over_states)
        return self._put(value, self._rows(self.likelihoods.intervals), self._over_interval)

    def _put(
        self, value: Tensor, rows: list[int], find: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The log-values, with some rows replaced by what ``find`` makes of them."""
        if not rows:
            return value
        place = torch.tensor(rows, device=value.device)
        found = find(place, value.index_select(0, place))
        return value.index_copy(0, place, found.to(value.dtype))

    def _rows(self, given: Mapping[int, object]) -> list[int]:
        return [row for row, column in enumerate(self.columns) if column in given]

    def _without(self) -> Tensor:
        """Log-values without likelihoods."""
        if self.parameters is not None and not self.layer.states:
            return self.layer.log_density(self.x, self.parameters, self.exact)
        if self.parameters is None:
            return safe_log(self.layer.one_hot(self.x))
        codes = codes_of(self.x.detach(), self.layer.states)
        shape = *self.parameters.shape[:2], self.x.shape[-1]
        return safe_log(extended(self.parameters).gather(2, codes.expand(shape)))

    def masses(self, rows: Tensor | None, flow: Tensor, values: Tensor) -> Tensor:
        """The share of each state in the flows of units, shape (rows, states, batch).

        Args:
            rows: Some of the rows, all by default.
            flow: Their flows, shape (rows, units, batch).
            values: From `log_values`, of all rows.
        """
        every = torch.arange(len(self.columns), device=flow.device)
        place = every if rows is None else rows
        logs, table = self.allowed(place), self._table(place)
        if table is None:
            return flow
        top, values = top_of(logs, 1), values.index_select(0, place).double()
        scaled = (flow.double() * (top - values).exp()).masked_fill(flow <= 0.0, 0.0)
        masses = table[..., : logs.shape[1]].transpose(1, 2) @ scaled
        return (masses * (logs - top).exp()).to(flow.dtype)

    def completed(
        self, values: Tensor, unit: Tensor, draw: bool, generator: torch.Generator | None
    ) -> Tensor:
        """Values of one unit of each row, shape (rows, batch), anew where there are likelihoods.

        Args:
            values: Those without likelihoods.
            unit: The units, shape (rows, batch).
            draw: Whether to draw values instead of taking the best states.
            generator: Random numbers for draws.
        """
        if self.parameters is None:
            return values
        values = values.clone()
        for row in self._rows(self.likelihoods.states):
            place = torch.tensor([row], device=values.device)
            logs, table = self.allowed(place), self._table(place)
            if table is None:
                raise AssertionError("indicators have no parameters")  # pragma: no cover
            chosen = safe_log(table[0, unit[row], : logs.shape[1]]) + logs[0].t()
            drawn = draw_state(chosen.softmax(1), generator) if draw else chosen.argmax(1)
            values[row] = drawn.to(values.dtype)
        for row in self._rows(self.likelihoods.intervals):
            ends = self.likelihoods.intervals[self.columns[row]]
            drawn = draw_within(self._alone(row, unit[row]), *ends, generator)
            values[row] = drawn.to(values.dtype)
        return values

    def _alone(self, row: int, unit: Tensor) -> Units:
        """One unit of a row for each row of data, each as its own row."""
        if self.parameters is None:
            raise AssertionError("indicators have states")  # pragma: no cover
        units = self.layer.units(self.parameters).pick(torch.full_like(unit, row))
        own = torch.arange(len(unit), device=unit.device)
        return replace(units, parameters=units.parameters[own, unit].unsqueeze(1))

    def allowed(self, rows: Tensor) -> Tensor:
        """The log-likelihood of each state, ``-inf`` if excluded, shape (rows, states, batch)."""
        x = self.x.detach().index_select(0, rows)
        columns = [self.columns[row] for row in rows.tolist()]
        width = max(self.layer.variables[row].cardinality for row in rows.tolist())
        states = torch.arange(width, device=x.device, dtype=x.dtype).view(1, -1, 1)
        none = torch.zeros(x.shape[-1], 1, dtype=torch.float64, device=x.device)
        given = [self.likelihoods.states.get(c, none.expand(-1, width)) for c in columns]
        pad = torch.nn.functional.pad
        logs = torch.stack([pad(g, (0, width - g.shape[1]), value=-torch.inf).t() for g in given])
        return logs.masked_fill(~(x.isnan() | (x == states)), -torch.inf)

    def _table(self, rows: Tensor) -> Tensor | None:
        """Probabilities of states, shape (rows, units, states); ``None`` for indicators."""
        return None if self._whole is None else self._whole.index_select(0, rows)

    @cached_property
    def _whole(self) -> Tensor | None:
        """`_table` of all rows."""
        if self.parameters is None:
            return None
        units = self.layer.units(self.parameters.double())
        if units.table is None:
            raise AssertionError("discrete leaves have tables")  # pragma: no cover
        return units.table

    def _over_states(self, rows: Tensor, before: Tensor) -> Tensor:
        logs, table = self.allowed(rows), self._table(rows)
        if table is None:
            return logs
        top = top_of(logs, 1)
        return safe_log(table[..., : logs.shape[1]] @ (logs - top).exp()) + top

    def _best(self, rows: Tensor, before: Tensor) -> Tensor:
        logs, table = self.allowed(rows), self._table(rows)
        if table is None:
            return logs
        weights = safe_log(table[..., : logs.shape[1]])
        each = [(weights[:, unit].unsqueeze(-1) + logs).amax(1) for unit in range(table.shape[1])]
        return torch.stack(each, dim=1)

    def _over_interval(self, rows: Tensor, before: Tensor) -> Tensor:
        if self.parameters is None:
            raise AssertionError("indicators have states")  # pragma: no cover
        ends = [self.likelihoods.intervals[self.columns[row]] for row in rows.tolist()]
        low, high = (torch.stack(side).unsqueeze(1) for side in zip(*ends, strict=True))
        mass = log_interval(self.layer.units(self.parameters).pick(rows), low, high)
        x = self.x.index_select(0, rows)
        first, last = low.to(x.dtype), high.to(x.dtype)  # ends as the rows hold them
        inside = (x <= last) & ((x >= first) if self.layer.leaf.counts else (x > first))
        known = before.double().masked_fill(~inside, -torch.inf)
        return torch.where(x.isnan(), mass, known)


def likely(
    inputs: LeafInputs, x: Tensor, parameters: Mapping[int, Tensor], likelihoods: Likelihoods
) -> dict[int, Leaves]:
    """The input layers that likelihoods concern, by number.

    Args:
        inputs: The input layers.
        x: Shape ``(batch, variables)``, NaN where missing.
        parameters: Layer number to leaf parameters, for all layers but indicators.
        likelihoods: Soft and interval evidence for as many rows.
    """
    found: dict[int, Leaves] = {}
    if not likelihoods:
        return found
    columns = x.t().contiguous()
    for layer in inputs.layers:
        variables = inputs.plan.layers[layer.number].variables
        own = [] if variables is None else variables.tolist()
        if any(column in likelihoods for column in own):
            parameter, column = parameters.get(layer.number), layer.column(columns)
            found[layer.number] = Leaves(layer, own, parameter, column, likelihoods, inputs.exact)
    return found


def log_values(
    inputs: LeafInputs, x: Tensor, parameters: Mapping[int, Tensor], likelihoods: Likelihoods
) -> dict[int, Tensor]:
    """`Leaves.log_values` of the layers of `likely`."""
    found = likely(inputs, x, parameters, likelihoods)
    return {number: leaves.log_values() for number, leaves in found.items()}
