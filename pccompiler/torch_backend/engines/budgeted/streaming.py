"""Evaluation with few live values: weights and inputs are computed on demand, then dropped.

Over a plan in blocks (`pccompiler.passes.lowering.blocks`) this is the evaluation of section 3.1 of
the HyperSPN paper: O(k log n) values for its structure, and generated weights of one block only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pccompiler.ir.families import Family
from pccompiler.ir.kinds import Kind
from pccompiler.ir.plan.layers import Layer
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.layered.forward import Forward
from pccompiler.torch_backend.engines.layered.operands import Indexed
from pccompiler.torch_backend.engines.layered.pool import Lease
from pccompiler.torch_backend.leaves.inputs import LeafInputs
from pccompiler.torch_backend.values import Value, has_table
from pccompiler.torch_backend.weights.selection import Selection
from pccompiler.torch_backend.weights.weights import Weights

if TYPE_CHECKING:
    from pccompiler.torch_backend.leaves.inputs import LeafLayer


class LazyWeights(Mapping[int, Tensor]):
    """Layer number to its weights, generated on each access.

    Sectors that are whole weights are generated one layer at a time. If the partition cuts weights
    into several sectors, a weight group is generated as a whole, and kept.

    Args:
        weights: The parameters, of any plan of the same circuit.
        plan: The plan that has the layers.
    """

    def __init__(self, weights: Weights, plan: Plan) -> None:
        self.weights, self.plan = weights, plan
        self.own = Weights.sharing(weights, plan)
        self.place: dict[int, tuple[int, int, int]] = {}
        start = [0] * len(plan.groups)
        for use in plan.uses:
            stop = start[use.group] + len(use.index)
            self.place[use.layer] = use.group, start[use.group], stop
            start[use.group] = stop
        self.kept: dict[int, Tensor] = {}

    def __getitem__(self, layer: int) -> Tensor:
        number, start, stop = self.place[layer]
        key, group = str(number), self.plan.groups[number]
        if not self.apart(layer):
            if number not in self.kept:
                flat = self.own.flat(self.own.features())
                raw = self.own.orders[key](flat).view(-1, group.rows, group.columns)
                self.kept[number] = self.own.constrained(number, raw)
            return self.kept[number][start:stop]
        name, rows = self.source(layer)
        return self.made(layer, self.own.values[name][rows])

    def apart(self, layer: int) -> bool:
        """Whether the layer's weights can be generated separately."""
        number = self.place[layer][0]
        return str(number) in self.own.sectors or not self.plan.groups[number].generated

    def source(self, layer: int) -> tuple[str, Tensor | slice]:
        """The parameter that the layer's weights come from, and its rows."""
        number, start, stop = self.place[layer]
        key = str(number)
        if key in self.own.sectors:
            return self.plan.generator.table, _rows(self.own.sectors[key], start, stop)
        return parameter_name(self.plan, number), _rows(self.own.orders[key], start, stop)

    def made(self, layer: int, raw: Tensor) -> Tensor:
        """The layer's weights from the rows that `source` gives."""
        number = self.place[layer][0]
        if str(number) in self.own.sectors:
            raw = self.own.sector_logits(self.own.features(raw), self.plan.groups[number])
        return self.own.constrained(number, raw)

    def __iter__(self) -> Iterator[int]:
        return (n for n in self.place if has_table(self.plan.layers[n]))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _rows(selection: torch.nn.Module, start: int, stop: int) -> Tensor | slice:
    """Entries ``start`` to ``stop`` of a selection."""
    if not isinstance(selection, Selection):
        raise TypeError("selections are Selection modules")  # pragma: no cover
    return slice(start, stop) if selection.rows is None else selection.rows[start:stop]


class LazyInputs(Mapping[int, Tensor]):
    """Layer number to the engine's input for rows of data, computed on each access."""

    def __init__(self, source: LeafInputs, weights: LazyWeights, x: Tensor) -> None:
        self.layers = {layer.number: layer for layer in source.layers}
        self.exact, self.weights, self.x = source.exact, weights, x

    def columns(self, index: Tensor | None) -> Tensor:
        """The data of some variables, shape (variables, batch)."""
        return (self.x if index is None else self.x.index_select(1, index)).t()

    def __getitem__(self, number: int) -> Tensor:
        layer = self.layers[number]
        if not layer.leaf.family.tabular:
            return self.density(number, self.weights[number])
        return layer.table_input(self.columns(layer.index).unsqueeze(1))

    def density(self, number: int, parameters: Tensor) -> Tensor:
        """Log-densities of a layer's leaves, from their parameters."""
        layer = self.layers[number]
        column = self.columns(layer.index).unsqueeze(1)
        return layer.log_density(column, parameters, self.exact)

    def __iter__(self) -> Iterator[int]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


class Streamed(Forward):
    """A forward pass over lazy weights and inputs; indicators are read from the data."""

    inputs: LazyInputs

    def __init__(self, indexed: Indexed, inputs: LazyInputs, weights: LazyWeights) -> None:
        like = inputs.x.new_empty(0, len(inputs.x))
        super().__init__(indexed, inputs, weights, like, keep=False, complete=False)
        self.lazy = weights
        self.lease = Lease(None, like)  # buffers kept for reuse would accumulate
        self.direct = _read_alone(self.plan)

    def input(self, number: int, layer: Layer) -> Value:
        """Nothing yet if readers look at the data themselves."""
        if number in self.direct:
            return Value(self.inputs.x.new_empty(0), None)
        return super().input(number, layer)

    def fetch(self, number: int, part: int) -> Value:
        """Operand values; those of indicators are computed from the data."""
        operands = self.plan.layers[number].operands[part]
        below = operands.sources[0].layer
        if below not in self.direct:
            return super().fetch(number, part)
        leaf: LeafLayer = self.inputs.layers[below]
        if operands.start is None:
            rows = self.indexed.index[number, part, 0][0]
        else:
            stop = operands.start + operands.arity * operands.rows
            rows = torch.arange(operands.start, stop, device=self.indexed.device)
        variables = rows if leaf.index is None else leaf.index.index_select(0, rows)
        states = leaf.one_hot(self.inputs.columns(variables).unsqueeze(1))
        return Value(states.unflatten(0, (operands.arity, operands.rows)), None)


def _read_alone(plan: Plan) -> set[int]:
    """Indicator layers that are never gathered together with other layers."""
    found = {n for n, layer in enumerate(plan.layers) if layer.family == Family.INDICATOR}
    for layer in plan.layers:
        for operands in layer.operands:
            if len(operands.sources) > 1:
                found -= {source.layer for source in operands.sources}
    if plan.layers[-1].kind == Kind.INPUT:
        found.discard(len(plan.layers) - 1)
    return found
