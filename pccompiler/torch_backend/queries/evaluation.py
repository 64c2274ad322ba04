"""One evaluation of a model for queries, and the results that follow from flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from pccompiler.torch_backend.engines.base import Engine
from pccompiler.torch_backend.engines.questions import Ascent, Batch, Task, Wanted
from pccompiler.torch_backend.engines.tables_by_group import in_order, tables_by_group
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.chosen import Chosen
from pccompiler.torch_backend.leaves.likelihoods import NOTHING, Likelihoods
from pccompiler.torch_backend.leaves.likely import Leaves, likely
from pccompiler.torch_backend.queries.marginals import known_moments, known_states, state_moments
from pccompiler.torch_backend.values import draw_states

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator
    from pccompiler.torch_backend.leaves.inputs import LeafLayer


class Knowledge:
    """A model's weights, generated once for queries on any number of batches."""

    def __init__(self, model: Evaluator) -> None:
        self.model, self.plan = model, model.plan
        self.tables: list[Tensor] = tables_by_group(model.weights)
        self.leaves: dict[int, Tensor] = model.weights.leaves()
        self.variables = model.circuit.variables
        self.states = max([1, *(v.cardinality for v in self.variables if v.discrete)])
        self.parameters = self.leaves | self._leaf_tables()
        self.units = {
            layer.number: layer.units(self.parameters[layer.number])
            for layer in model.leaf_inputs.layers
            if layer.number in self.parameters  # all except indicators
        }

    def _leaf_tables(self) -> dict[int, Tensor]:
        """Tables of states by input layer."""
        weights = self.model.weights
        return {
            self.plan.uses[use].layer: piece
            for number, table in zip(weights.tables, self.tables, strict=True)
            if not self.plan.groups[number].is_sum
            for use, piece in weights.used(number, table).items()
        }

    @cached_property
    def weights(self) -> list[Tensor]:
        """Weights for each use that has a table."""
        return self.model.weights.by_use(self.tables)

    def rows_of(self, layer: LeafLayer) -> list[int]:
        """The variable of each row of a layer."""
        variables = self.plan.layers[layer.number].variables
        return [] if variables is None else variables.tolist()

    def evaluation(
        self, rows: Tensor, wanted: Wanted, likelihoods: Likelihoods = NOTHING
    ) -> Evaluated:
        """Run up given the evidence in ``rows``, for one of the questions of queries.

        Args:
            rows: Shape (batch, variables), NaN where missing.
            wanted: `Wanted.BEST` takes the largest term in place of each sum, also over states.
            likelihoods: Soft and interval evidence for as many rows.
        """
        densities = self.model.leaf_inputs.densities(rows, self.leaves)
        if wanted is Wanted.BEST:
            layers = {layer.number: layer for layer in self.model.leaf_inputs.layers}
            densities = {n: self.best(layers[n], given, rows) for n, given in densities.items()}
        concerned = likely(self.model.leaf_inputs, rows, self.parameters, likelihoods)
        best = wanted is Wanted.BEST
        given = {n: each.log_values(densities.get(n), best=best) for n, each in concerned.items()}
        engine = self.model.engines.choose(wanted, given=bool(given))
        operands = [*self.tables, *in_order(densities, given)]
        found = engine.up(Batch(rows, given=given), operands, wanted)
        return Evaluated(self, rows, engine, wanted, *found, concerned, given)

    def best(
        self, layer: LeafLayer, given: Tensor, rows: Tensor, chosen: Tensor | None = None
    ) -> Tensor:
        """Log-densities, replaced by the largest one where evidence is missing.

        Args:
            layer: An input layer.
            given: The engine's input for it; states of tables do not change.
            rows: The evidence.
            chosen: Shape (rows, 1, 1), the leaves to replace; by default all.
        """
        if layer.number not in self.leaves:
            return given
        missing = layer.column(rows.t()).isnan()
        if chosen is not None:
            missing = missing & chosen
        rows = missing.any(2).flatten().nonzero().flatten()
        if len(rows) == 0:
            return given
        units = self.units[layer.number].pick(rows)  # other leaves may have no largest density
        top = units.leaf.top(units) if units.table is None else units.table.amax(2).log()
        filled = torch.where(missing[rows], top.unsqueeze(-1), given[rows])
        return given.index_copy(0, rows, filled)


Flows: TypeAlias = Mapping[int, Tensor]
"""Input layer to the flow of its units, shape (rows, units, batch)."""


class Evaluated:
    """The result of one pass up, for the rows of one batch.

    Attributes:
        rows: The evidence, shape (batch, variables).
        root: Log-value of each row without the circuit's scale, shape (batch,).
        likely: The input layers that soft or interval evidence concerns.
        given: Their log-values.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        rows: Tensor,
        engine: Engine,
        wanted: Wanted,
        root: Tensor,
        ascent: Ascent,
        likely: Mapping[int, Leaves],
        given: Mapping[int, Tensor],
    ) -> None:
        self.knowledge, self.rows, self.root = knowledge, rows, root
        self.likely, self.given = likely, given
        self.engine, self.wanted, self.ascent = engine, wanted, ascent

    def flows(self) -> Flows:
        """The flow of the leaves, given a flow of 1 at the root."""
        ones = torch.ones_like(self.root)
        return self.engine.down(self.ascent, Task(ones, self.wanted)).leaves

    def chosen(self, batch: int | None = None, generator: torch.Generator | None = None) -> Tensor:
        """The leaf unit of each variable that a draw or the best tree reaches; see `Descent`.

        Args:
            batch: Number of draws, if ``rows`` is a single row.
            generator: Random numbers for draws.
        """
        ones = self.root.new_ones(len(self.rows) if batch is None else batch)
        found = self.engine.down(self.ascent, Task(ones, self.wanted, generator)).chosen
        if found is None:
            raise AssertionError(f"{self.engine.name} chooses no leaves")
        return found

    def masses(self, flows: Flows, chosen: Chosen) -> Tensor:
        """Mass of each state of discrete variables, shape (batch, chosen variables, states).

        The flow times the leaf's probability where missing, 1 for observed states.
        """
        batch = next(iter(flows.values())).shape[-1]
        out = self.root.new_zeros(len(chosen.columns), chosen.states, batch)
        for number, (rows, slots) in chosen.rows.items():
            flow, units = _some(flows[number], rows), self.knowledge.units.get(number)
            if units is None:  # indicators
                mass = flow
            elif number in self.likely and units.table is not None:
                mass = self.likely[number].masses(rows, flow, self.given[number])
            elif units.table is None:
                continue
            else:
                mass = torch.bmm(_some(units.table, rows).transpose(1, 2), flow)
            mass = mass[:, : chosen.states]
            out[:, : mass.shape[1]].index_add_(0, slots, mass)
        return known_states(out.permute(2, 0, 1), self.rows, chosen)

    def moments(self, flows: Flows, masses: Tensor, chosen: Chosen) -> tuple[Tensor, Tensor]:
        """Mean and variance of each variable, each of shape (batch, chosen variables).

        In float64, divided by the sum of the flows: otherwise digits of a variance cancel if it is
        small compared with the mean's square.
        """
        sums = state_moments(masses, chosen)
        for number, (rows, slots) in chosen.rows.items():
            units = self.knowledge.units.get(number)
            if units is None or units.table is not None:
                continue
            wide, flow = units.double(), _some(flows[number], rows).double()
            if rows is not None:
                wide = wide.pick(rows)
            sums[0].t().index_add_(0, slots, flow.sum(1))
            for power, moment in enumerate((units.leaf.mean, units.leaf.square), start=1):
                sums[power].t().index_add_(0, slots, mixed(wide, moment(wide), flow))
        return known_moments(sums, self.rows, chosen)

    def complete(
        self, chosen: Tensor, draw: bool, generator: torch.Generator | None = None
    ) -> Tensor:
        """The rows, each completed along one induced tree, shape (batch, variables).

        Args:
            chosen: The leaf unit of each variable, shape (variables, batch).
            draw: Whether to sample from leaves instead of taking their modes.
            generator: Random numbers for draws.
        """
        known, missing = self.knowledge, self.rows.isnan()
        out = self.root.new_zeros(chosen.shape)
        before = 0
        for layer in known.model.leaf_inputs.layers:
            made, index = known.plan.layers[layer.number], layer.place
            rows = torch.arange(made.rows, device=out.device)
            units = known.units.get(layer.number)
            if not draw and units is not None and units.table is None:
                rows = missing.any(0)[index].nonzero().flatten()  # observed leaves may lack a mode
                units, index = units.pick(rows), index[rows]
            unit = chosen.index_select(0, index) - (before + made.units * rows).unsqueeze(1)
            here = (unit >= 0) & (unit < made.units)
            unit = unit.clamp(0, made.units - 1)
            value = _value(units, unit, draw, generator)
            if layer.number in self.likely:
                value = self.likely[layer.number].completed(value, unit, draw, generator)
            out.index_add_(0, index, torch.where(here, value.to(out.dtype), 0.0))
            before += made.rows * made.units
        return torch.where(missing, out.t(), self.rows)


def _some(rows: Tensor, chosen: Tensor | None) -> Tensor:
    """Some rows, or all."""
    return rows if chosen is None else rows.index_select(0, chosen)


def mixed(units: Units, moment: Tensor, flow: Tensor) -> Tensor:
    """Moments of units mixed by flows, shape (rows, batch)."""
    moment = moment.unsqueeze(1)
    if not units.leaf.infinite_moments:
        return torch.bmm(moment, flow)[:, 0]
    odd = ~moment.isfinite()  # counts only if there is a flow
    mixed = torch.bmm(moment.masked_fill(odd, 0.0), flow)
    for value, where in (
        (torch.inf, moment == torch.inf),
        (torch.nan, odd & (moment != torch.inf)),
    ):
        mixed = mixed.masked_fill(torch.bmm(where.to(flow.dtype), flow) > 0.0, value)
    return mixed[:, 0]


def _value(
    units: Units | None, unit: Tensor, draw: bool, generator: torch.Generator | None
) -> Tensor:
    """A value of one unit of each row, shape (rows, batch); ``None`` stands for indicators."""
    if units is None:
        return unit
    row = torch.arange(len(unit), device=unit.device).unsqueeze(1)
    if units.table is not None:
        if draw:
            return draw_states(units.table, unit, generator)
        return units.table.argmax(2)[row, unit]
    if draw:
        picked = replace(units, parameters=units.parameters[row, unit])
        return units.leaf.draw(picked, generator)
    return units.leaf.mode(units)[row, unit]
