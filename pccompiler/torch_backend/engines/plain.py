"""The definition of a plan's value, in plain torch operations on logarithms.

Torch can differentiate it any number of times, and `torch.func` can transform it. The engines are
many times faster, but implement only first derivatives; higher derivatives and `torch.func`
transforms use this definition (`pccompiler.torch_backend.derivatives`).

Everything is in float64, since each further derivative loses digits. A zero is a logarithm of -inf,
and no derivative of any order passes through it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.plan.layers import Layer, Operands
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.engines.arena.tables import tables_by_layer
from pccompiler.torch_backend.leaves.inputs import LeafInputs, LeafLayer
from pccompiler.torch_backend.leaves.likelihoods import NOTHING, Likelihoods
from pccompiler.torch_backend.leaves.likely import log_values
from pccompiler.torch_backend.values import safe_log, top_of, unit_places
from pccompiler.torch_backend.weights.weights import Weights

_Gather = tuple[list[tuple[int, Tensor]], Tensor | None]
"""Layers with the rows taken from each, and the position of each row if they are out of order."""


class Plain:
    """A plan with its index tensors on one device."""

    def __init__(self, plan: Plan, device: torch.device, dtype: torch.dtype) -> None:
        """Index tensors of ``plan``; histogram edges are rounded to ``dtype``, as the data are."""
        self.plan, self.device, self.dtype = plan, device, dtype
        self.leaves = LeafInputs(plan, device, dtype)
        self.inputs = {layer.number for layer in self.leaves.layers}
        whole = [variable.domain != "real" for variable in plan.variables]
        states = [v.cardinality if v.discrete else torch.inf for v in plan.variables]
        self.whole = torch.tensor(whole, device=device)
        self.states = torch.tensor(states, dtype=torch.float64, device=device)
        self.gathers: dict[tuple[int, int], _Gather] = {
            (number, part): self._gather(operands)
            for number, layer in enumerate(plan.layers)
            for part, operands in enumerate(layer.operands)
        }

    def _gather(self, operands: Operands) -> _Gather:
        rows = [
            (source.layer, torch.from_numpy(source.rows.copy()).to(self.device))
            for source in operands.sources
        ]
        if len(rows) == 1:  # positions are 0, 1, 2, ...
            return rows, None
        places = torch.cat([torch.from_numpy(source.positions) for source in operands.sources])
        return rows, places.argsort().to(self.device)

    def __call__(
        self,
        x: Tensor,
        weights: Weights,
        parameters: Mapping[str, Tensor],
        likelihoods: Likelihoods = NOTHING,
    ) -> Tensor:
        """Log-likelihood of rows, in nats, float64, shape (batch,); NaN if a value is not a state.

        Under `torch.func.vmap` no error can depend on a value, hence NaN.

        Args:
            x: Shape (batch, variables), NaN where missing.
            weights: Makes weights from parameters.
            parameters: By their names in ``weights.values``.
            likelihoods: Soft and interval evidence.
        """
        named = {f"values.{name}": parameter.double() for name, parameter in parameters.items()}
        tables, densities = torch.func.functional_call(weights, named, ())
        by_layer = tables_by_layer(self.plan, tables)
        x = x.double()
        columns = x.t()
        leaf_tables = {n: table for n, (table, *_) in by_layer.items() if n in self.inputs}
        soft = log_values(self.leaves, x, densities | leaf_tables, likelihoods)
        leaves = iter(self.leaves.layers)
        values: list[Tensor] = []
        for number, layer in enumerate(self.plan.layers):
            given = by_layer.get(number, [])
            if layer.kind == Kind.INPUT:
                value = self._input(next(leaves), columns, given, densities)
                value = soft.get(number, value)
            else:
                parts = [self._operand(number, part, values) for part in range(len(layer.operands))]
                value = self.inner(layer, parts, given)
            values.append(value)
        out: Tensor = values[-1][0, 0] + self.plan.log_scale
        return out.masked_fill(self._wrong(x), torch.nan)

    @staticmethod
    def inner(layer: Layer, parts: list[Tensor], weights: list[Tensor]) -> Tensor:
        """The value of a layer other than an input, shape (rows, units, batch)."""
        if layer.kind == Kind.PRODUCT:
            return torch.cat([part.sum(0) for part in parts])
        if layer.kind in PRODUCTS:
            places = unit_places(layer, parts[0].device)
            read = [x[0].index_select(1, place) for x, place in zip(parts, places, strict=True)]
            return sum(read[1:], read[0])
        if layer.ragged:
            sums = zip(parts, weights, strict=True)
            return torch.cat([_sum(part.squeeze(2).transpose(0, 1), table) for part, table in sums])
        if layer.kind == Kind.MIXTURE:
            terms = parts[0] + safe_log(weights[0]).permute(2, 0, 1).unsqueeze(-1)
            return _log_sum(terms, 0)
        if layer.kind != Kind.SUM:
            raise AssertionError(
                f"layers of kind {layer.kind} have no definition"
            )  # pragma: no cover
        inputs = [operand for part in parts for operand in part]
        return _sum(torch.cat(inputs, dim=1), weights[0])

    def _wrong(self, x: Tensor) -> Tensor:
        """Whether each row has a value outside of its variable's domain, shape (batch,)."""
        no_state = (x < 0) | (x != x.floor()) | (x >= self.states)
        wrong: Tensor = (((no_state & self.whole) | x.isinf()) & ~x.isnan()).any(1)
        return wrong

    def _input(
        self, leaf: LeafLayer, columns: Tensor, table: list[Tensor], densities: Mapping[int, Tensor]
    ) -> Tensor:
        """Log-densities of leaves, shape (rows, units, batch)."""
        column = leaf.column(columns)
        if not leaf.is_real:  # a state or a count: no derivative passes, not even in forward mode
            column = column.round()
        if leaf.number in densities:
            return leaf.log_density(column, densities[leaf.number], self.leaves.exact)
        states = leaf.one_hot(column)
        return safe_log(table[0] @ states if table else states)

    def _operand(self, number: int, part: int, values: Sequence[Tensor]) -> Tensor:
        """Operands, shape (arity, rows, units, batch)."""
        rows, order = self.gathers[number, part]
        pieces = [values[layer].index_select(0, some) for layer, some in rows]
        joined = pieces[0] if order is None else torch.cat(pieces).index_select(0, order)
        operands = self.plan.layers[number].operands[part]
        found: Tensor = joined.unflatten(0, (operands.arity, operands.rows))
        return found


def has_reals(plan: Plan) -> bool:
    """Whether some variable is real; derivatives with respect to all others are 0."""
    return any(variable.domain == "real" for variable in plan.variables)


def _sum(logs: Tensor, weight: Tensor) -> Tensor:
    """Mixtures of all inputs, shape (rows, units, batch).

    Args:
        logs: Shape (rows, fan-in, batch).
        weight: Shape (rows, units, fan-in).
    """
    if weight.shape[1] == 1:  # weights are added before the maximum: exact for any weight
        return _log_sum(logs + safe_log(weight).transpose(1, 2), 1).unsqueeze(1)
    top = top_of(logs, 1)
    return safe_log(weight @ (logs - top).exp()) + top


def _log_sum(terms: Tensor, dim: int) -> Tensor:
    """Log-sum-exp of ``terms`` along ``dim``."""
    top = top_of(terms, dim)
    return safe_log((terms - top).exp().sum(dim)) + top.squeeze(dim)
