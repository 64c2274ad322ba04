"""One evaluation of a model for queries, and what flows say of variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from pccompiler.torch_backend.engines.arena.tables import tables_by_layer
from pccompiler.torch_backend.engines.base import Ascent, Batch, Engine, Wanted
from pccompiler.torch_backend.leaves.answers import (
    FAMILIES,
    draw_state,
    state_table,
    top_log_density,
)

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator
    from pccompiler.torch_backend.leaves.inputs import LeafLayer


class Knowledge:
    """A model's weights, generated once, for the queries of any number of batches."""

    def __init__(self, model: Evaluator) -> None:
        self.model, self.plan = model, model.plan
        found: tuple[list[Tensor], dict[int, Tensor]] = model.weights()
        self.weights, self.leaves = found
        self.variables = model.circuit.variables
        self.states = max([1, *(v.cardinality for v in self.variables if v.discrete)])
        discrete = [v.discrete for v in self.variables]
        self.discrete = torch.tensor(discrete, device=model.device)
        dense = tables_by_layer(self.plan, self.weights)
        self.tables = {
            layer.number: state_table(layer, self.parameters(layer, dense), self.states_of(layer))
            for layer in model.leaf_inputs.layers
        }

    def parameters(self, layer: LeafLayer, tables: Mapping[int, list[Tensor]]) -> Tensor | None:
        """Parameters of a layer's leaves; ``None`` for indicators."""
        own = tables.get(layer.number)
        return self.leaves.get(layer.number) if own is None else own[0]

    def states_of(self, layer: LeafLayer) -> int:
        """States of the variables of a layer."""
        variables = self.rows_of(layer)
        return max(self.variables[int(v)].cardinality for v in variables)

    def rows_of(self, layer: LeafLayer) -> list[int]:
        """The variable of each row of a layer."""
        variables = self.plan.layers[layer.number].variables
        return [] if variables is None else variables.tolist()

    def evaluation(self, rows: Tensor, wanted: Wanted) -> Evaluated:
        """The way up given the evidence in ``rows``, for one of the questions of queries.

        Args:
            rows: Shape (batch, variables), NaN where nothing is known.
            wanted: For `Wanted.BEST` sums, also those over states, are their largest term instead.
        """
        inputs = self.model.leaf_inputs(rows, self.leaves)
        if wanted is Wanted.BEST:
            inputs = [
                self.best(layer, given, rows)
                for layer, given in zip(self.model.leaf_inputs.layers, inputs, strict=True)
            ]
        engine = self.model.engines.choose(wanted)
        found = engine.up(Batch(rows), [*inputs, *self.weights], wanted)
        return Evaluated(self, rows, engine, wanted, *found)

    def best(
        self, layer: LeafLayer, given: Tensor, rows: Tensor, chosen: Tensor | None = None
    ) -> Tensor:
        """Log-densities with the largest one where the evidence is missing.

        Args:
            layer: An input layer.
            given: The engine's input for it; states of tables stay as they are.
            rows: The evidence.
            chosen: Shape (rows, 1, 1), the leaves that this holds for; by default all.
        """
        if layer.number not in self.leaves:
            return given
        missing = layer.column(rows.t()).isnan()
        if chosen is not None:
            missing = missing & chosen
        parameters = self.leaves[layer.number]
        top = top_log_density(layer, parameters, self.tables[layer.number])
        return torch.where(missing, top.unsqueeze(-1), given)


Flows: TypeAlias = Mapping[int, Tensor]
"""Input layer to what reaches its units, shape (rows, units, batch)."""


class Evaluated:
    """One way up, for the rows of one batch.

    Attributes:
        rows: The evidence, shape (batch, variables).
        root: Log-value of each row without the circuit's scale, shape (batch,).
    """

    def __init__(
        self,
        knowledge: Knowledge,
        rows: Tensor,
        engine: Engine,
        wanted: Wanted,
        root: Tensor,
        ascent: Ascent,
    ) -> None:
        self.knowledge, self.rows, self.root = knowledge, rows, root
        self.engine, self.wanted, self.ascent = engine, wanted, ascent

    def flows(self, batch: int | None = None, generator: torch.Generator | None = None) -> Flows:
        """What reaches the leaves of the 1 that the root has.

        Args:
            batch: Draws, if ``rows`` is a single row.
            generator: Of draws.
        """
        ones = self.root.new_ones(len(self.rows) if batch is None else batch)
        return self.engine.down(self.ascent, ones, self.wanted, generator).leaves

    def masses(self, flows: Flows) -> Tensor:
        """Mass of each state of discrete variables, shape (batch, variables, states).

        Of what is not known, the flow times the leaf's probability; of what is, 1.
        """
        known = self.knowledge
        batch = next(iter(flows.values())).shape[-1]
        out = self.root.new_zeros(len(known.variables), known.states, batch)
        for layer in known.model.leaf_inputs.layers:
            flow = flows[layer.number]
            table = known.tables[layer.number]
            if table is None and layer.number in known.leaves:
                continue
            mass = flow if table is None else torch.bmm(table.transpose(1, 2), flow)
            out[:, : mass.shape[1]].index_add_(0, self._index(layer), mass)
        missing = self.rows.isnan()
        states = torch.arange(known.states, device=out.device)
        seen = (self.rows.unsqueeze(2) == states).to(out.dtype)
        masses = torch.where(missing.unsqueeze(2), out.permute(2, 0, 1), seen)
        return masses * known.discrete.view(1, -1, 1)

    def moments(self, flows: Flows, masses: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each variable, each of shape (batch, variables)."""
        known = self.knowledge
        states = torch.arange(known.states, device=masses.device, dtype=masses.dtype)
        sums = torch.stack([masses @ states, masses @ states.square()])
        for layer in known.model.leaf_inputs.layers:
            if not self._unbounded(layer):
                continue
            family, parameters = FAMILIES[layer.family], known.leaves[layer.number]
            flow, index = flows[layer.number], self._index(layer)
            for power, moment in enumerate((family.mean, family.square)):
                part = torch.bmm(moment(layer, parameters).unsqueeze(1), flow)[:, 0]
                sums[power].t().index_add_(0, index, part)
        missing = self.rows.isnan()
        mean = torch.where(missing, sums[0], self.rows)
        variance = torch.where(missing, sums[1] - sums[0].square(), 0.0)
        return mean, variance.clamp_min(0.0)

    def complete(
        self, flows: Flows, draw: bool, generator: torch.Generator | None = None
    ) -> Tensor:
        """The rows completed along one induced tree each, shape (batch, variables).

        Args:
            flows: Of draws, or of the best trees.
            draw: Whether leaves are drawn from, else they give their modes.
            generator: Of draws.
        """
        masses = self.masses(flows)
        out = (draw_state(masses, generator) if draw else masses.argmax(2)).to(self.root.dtype)
        out = out * self.knowledge.discrete
        for layer in self.knowledge.model.leaf_inputs.layers:
            if self._unbounded(layer):
                value = self._value(layer, flows[layer.number], draw, generator)
                out.t().index_add_(0, self._index(layer), value)
        return torch.where(self.rows.isnan(), out, self.rows)

    def _value(
        self, layer: LeafLayer, flow: Tensor, draw: bool, generator: torch.Generator | None
    ) -> Tensor:
        """What active leaves say, 0 elsewhere; shape (rows, batch)."""
        family, parameters = FAMILIES[layer.family], self.knowledge.leaves[layer.number]
        active, unit = flow.max(1)
        row = torch.arange(len(unit), device=unit.device).unsqueeze(1)
        if draw:
            value = family.draw(layer, parameters[row, unit], generator)
        else:
            value = family.mode(layer, parameters)[row, unit]
        return torch.where(active > 0.0, value, 0.0).to(flow.dtype)

    def _unbounded(self, layer: LeafLayer) -> bool:
        known = self.knowledge
        return layer.number in known.leaves and known.tables[layer.number] is None

    def _index(self, layer: LeafLayer) -> Tensor:
        variables = self.knowledge.rows_of(layer)
        return torch.tensor(variables, dtype=torch.int64, device=self.rows.device)
