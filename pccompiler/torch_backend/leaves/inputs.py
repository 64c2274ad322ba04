"""The engine's inputs: one-hot states for tables, log-densities for other families.

A missing value is all ones in a table, and 0 as a log-density.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir import Variable
from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.leaves.base import Constants, TorchLeaf, Units
from pccompiler.torch_backend.leaves.chosen import Chosen
from pccompiler.torch_backend.leaves.lookup import LEAST_STATES, codes_of
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.values import has_table


@dataclass(frozen=True, eq=False)
class LeafLayer:
    """An input layer with what its density needs, on one device.

    Attributes:
        number: Number of the layer.
        leaf: Its leaf family.
        variables: The variable of each row.
        states: Columns of the table; 0 for families given by log-densities.
        place: Shape ``(rows,)``, the variable of each row.
        in_order: Whether the rows are all variables in order.
        constants: See `TorchLeaf.constants`.
        looked_up: Whether the table has enough states for lookups to pay off.
        is_real: Whether the density can be differentiated by the data.
    """

    number: int
    leaf: TorchLeaf
    variables: tuple[Variable, ...]
    states: int
    place: Tensor
    in_order: bool
    constants: Constants
    looked_up: bool
    is_real: bool

    @property
    def index(self) -> Tensor | None:
        """`place`, or ``None`` for all variables in order."""
        return None if self.in_order else self.place

    def column(self, columns: Tensor) -> Tensor:
        """Values of the rows' variables, shape (rows, 1, batch), from (variables, batch)."""
        chosen = columns if self.index is None else columns.index_select(0, self.index)
        return chosen.unsqueeze(1) if self.is_real else chosen.unsqueeze(1).detach()

    def one_hot(self, column: Tensor) -> Tensor:
        """One-hot states, shape (rows, states, batch), all ones where missing."""
        if self.states == 2:
            pair = torch.cat([1.0 - column, column], dim=1)
            return pair.masked_fill_(column.isnan(), 1.0)
        values = torch.arange(self.states, dtype=column.dtype, device=column.device)
        return ((column == values.view(1, -1, 1)) | column.isnan()).to(column.dtype)

    def table_input(self, column: Tensor, lookup: bool = True) -> Tensor:
        """State codes (`codes_of`) if ``lookup`` and the table's size allow it; else one-hot."""
        if lookup and self.looked_up:
            return codes_of(column, self.states)
        return self.one_hot(column)

    def log_density(self, column: Tensor, parameters: Tensor, exact: bool) -> Tensor:
        """Log-densities, shape (rows, units, batch); 0 where missing.

        Args:
            column: Shape (rows, 1, batch), NaN where missing.
            parameters: As returned by `TorchLeaf.constrain`.
            exact: Whether probabilities may be exactly 0, with a logarithm of -inf.
        """
        missing = column.isnan()
        known = column.masked_fill(missing, self.leaf.somewhere)
        out = self.leaf.log_density(known, Units(self.leaf, parameters, self.constants))
        return self.leaf.bounded(out, exact).to(column.dtype).masked_fill(missing, 0.0)

    def units(self, parameters: Tensor) -> Units:
        """The layer's units, with a table of states if there are finitely many.

        Args:
            parameters: As returned by `TorchLeaf.constrain`; the identity matrix for indicators.
        """
        units = Units(self.leaf, parameters, self.constants)
        if self.leaf.family.tabular:
            return replace(units, table=parameters)
        if self.last is None:
            return units
        last = self.last.to(parameters.dtype)
        most = max(variable.cardinality for variable in self.variables)
        states = torch.arange(most, device=last.device, dtype=last.dtype).view(1, 1, -1)
        logs = self.log_density(torch.minimum(states, last), parameters, exact=True)
        return replace(units, table=logs.exp().masked_fill(states > last, 0.0))

    @cached_property
    def last(self) -> Tensor | None:
        """The last state of each row, shape (rows, 1, 1); ``None`` if there are infinitely many."""
        if not all(variable.discrete for variable in self.variables):
            return None
        states = [v.cardinality - 1.0 for v in self.variables]
        return torch.tensor(states, dtype=torch.float64, device=self.place.device).view(-1, 1, 1)


class LeafInputs:
    """The input layers of a plan, in order, on one device and in one precision."""

    def __init__(self, plan: Plan, device: torch.device, dtype: torch.dtype) -> None:
        self.plan, self.device, self.dtype = plan, device, dtype
        self.exact = plan.floor == 0.0
        self._chosen: dict[tuple[int, ...], Chosen] = {}
        self.layers = [
            _leaf_layer(plan, number, device, dtype)
            for number, layer in enumerate(plan.layers)
            if layer.kind == Kind.INPUT
        ]

    def __call__(
        self, x: Tensor, parameters: Mapping[int, Tensor], *, lookup: bool = False
    ) -> list[Tensor]:
        """The engine's inputs.

        Args:
            x: Shape ``(batch, variables)``, NaN where missing.
            parameters: Layer number to leaf parameters, for families that are not tables.
            lookup: Whether states of large tables may be codes (`lookup.codes_of`).
        """
        columns = x.t().contiguous()
        inputs: list[Tensor] = []
        for layer in self.layers:
            column = layer.column(columns)
            if layer.number in parameters:
                inputs.append(layer.log_density(column, parameters[layer.number], self.exact))
            else:
                inputs.append(layer.table_input(column, lookup))
        return inputs

    def chosen(self, columns: tuple[int, ...]) -> Chosen:
        """Some of the variables; the same object each time."""
        if columns not in self._chosen:
            self._chosen[columns] = Chosen(self.plan, columns, self.device)
        return self._chosen[columns]

    def reached(self, flows: Mapping[int, Tensor], variables: int) -> Tensor:
        """The unit with a flow for each variable and row, shape (variables, batch); -1 if none.

        Units are numbered from the first input layer to the last.
        """
        batch = next(iter(flows.values())).shape[-1]
        found = torch.zeros(variables, batch, dtype=torch.int64, device=self.device)
        before = 1
        for layer in self.layers:
            flow = flows[layer.number]
            rows, units = flow.shape[:2]
            number = torch.arange(before, before + rows * units, device=self.device)
            unit = number.view(rows, units, 1).masked_fill(flow <= 0.0, 0).sum(1)
            found.index_add_(0, layer.place, unit)
            before += rows * units
        return found - 1

    def densities(self, x: Tensor, parameters: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Log-densities of leaves without tables, by layer; arguments as in a call."""
        if not parameters:
            return {}
        columns = x.t().contiguous()
        return {
            layer.number: layer.log_density(
                layer.column(columns), parameters[layer.number], self.exact
            )
            for layer in self.layers
            if layer.number in parameters
        }


def _leaf_layer(plan: Plan, number: int, device: torch.device, dtype: torch.dtype) -> LeafLayer:
    layer = plan.layers[number]
    if layer.variables is None or layer.family is None:
        raise AssertionError("an input layer has a family and variables")  # pragma: no cover
    in_order = np.array_equal(layer.variables, np.arange(len(plan.variables)))
    place = torch.from_numpy(layer.variables.astype(np.int64)).to(device)
    variables = tuple(plan.variables[v] for v in layer.variables.tolist())
    leaf = leaf_of(layer.family.keyword)
    states = variables[0].cardinality if layer.tabular else 0
    return LeafLayer(
        number,
        leaf,
        variables,
        states,
        place,
        in_order,
        leaf.constants(variables, device, dtype),
        looked_up=has_table(layer) and states >= LEAST_STATES,
        is_real=all(variable.domain == "real" for variable in variables),
    )
