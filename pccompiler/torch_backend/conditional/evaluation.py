"""One evaluation of a plan whose weights differ from row to row, upwards and downwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.plan.layers import Layer
from pccompiler.torch_backend.conditional.leaves import Leaves
from pccompiler.torch_backend.conditional.row_weights import RowWeights
from pccompiler.torch_backend.conditional.rules import Rule
from pccompiler.torch_backend.engines.questions import Wanted
from pccompiler.torch_backend.leaves.inputs import LeafLayer
from pccompiler.torch_backend.values import safe_log, unit_places

Run = Callable[[Tensor], Tensor]

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator


class RowEvaluation:
    """Runs up for rows of a batch, each with its own weights.

    Everything is a plain torch operation that torch differentiates, any number of times: gradients
    of ``root`` with respect to ``leaf_values`` are the flows that the question asks for.

    Args:
        model: The model.
        rows: Checked rows, shape (batch, variables), NaN where missing.
        weights: The weights of these rows.
        wanted: The question.
        generator: Random numbers for draws.

    Attributes:
        root: Log-value of each row without `Plan.log_scale`, shape (batch,).
        leaves: The input layers, by number.
        leaf_values: Their log-values, shape (batch, rows, units), by number.
    """

    def __init__(
        self,
        model: Evaluator,
        rows: Tensor,
        weights: RowWeights,
        wanted: Wanted,
        generator: torch.Generator | None = None,
    ) -> None:
        self.plan, self.weights, self.wanted = model.plan, weights, wanted
        self.gathers = model.definition(rows.device, rows.dtype).gathers
        self.rule = Rule(wanted, generator)
        self.uses, self.exact = self.plan.uses_by_layer, model.leaf_inputs.exact
        self.leaves = {
            layer.number: self._leaves(layer, rows) for layer in model.leaf_inputs.layers
        }
        self.leaf_values: dict[int, Tensor] = {}
        self.root = self._run()

    def _leaves(self, layer: LeafLayer, rows: Tensor) -> Leaves:
        uses = self.uses.get(layer.number, ())
        given = self.weights.of(uses[0]) if uses else None
        x = rows.index_select(1, layer.place)
        x = x if layer.is_real else x.detach()
        return Leaves(layer, given, self.plan.layers[layer.number].tabular, x, self.exact)

    def _run(self) -> Tensor:
        values: list[Tensor] = []
        for number, layer in enumerate(self.plan.layers):
            if layer.kind == Kind.INPUT:
                value = self.leaves[number].values(self.wanted)
                if self.wanted not in (Wanted.VALUE, Wanted.GRADIENT):
                    value = value.detach().requires_grad_()
                self.leaf_values[number] = value
            else:
                value = self._inner(number, layer, values)
            values.append(value)
        return values[-1][:, 0, 0]

    def _inner(self, number: int, layer: Layer, values: Sequence[Tensor]) -> Tensor:
        """The value of a layer other than an input, shape (batch, rows, units)."""
        parts = [self._operand(number, part, values) for part in range(len(layer.operands))]
        if layer.kind == Kind.PRODUCT:
            return _joined([part.sum(1) for part in parts], 1)
        if layer.kind in PRODUCTS:
            places = unit_places(layer, parts[0].device)
            read = [x[:, 0].index_select(2, place) for x, place in zip(parts, places, strict=True)]
            return sum(read[1:], read[0])
        if layer.ragged:
            sums = zip(self.uses[number], parts, strict=True)
            return _joined([self._sum(use, x.squeeze(3).transpose(1, 2)) for use, x in sums], 1)
        (use,) = self.uses[number]
        if layer.kind == Kind.MIXTURE:
            return self._mixture(use, parts[0])
        if layer.kind != Kind.SUM:
            raise AssertionError(f"unknown layers of kind {layer.kind}")  # pragma: no cover
        inputs = [x.transpose(1, 2).flatten(2) for x in parts]
        return self._sum(use, _joined(inputs, 2))

    def _operand(self, number: int, part: int, values: Sequence[Tensor]) -> Tensor:
        """Operands, shape (batch, arity, rows, units)."""
        operands = self.plan.layers[number].operands[part]
        size = operands.arity, operands.rows
        if operands.start is not None:
            below = values[operands.sources[0].layer]
            whole = below.narrow(1, operands.start, size[0] * size[1])
            return whole.view(len(below), *size, below.shape[2])
        rows, order = self.gathers[number, part]
        pieces = [values[layer].index_select(1, some) for layer, some in rows]
        joined = pieces[0] if order is None else torch.cat(pieces, 1).index_select(1, order)
        return joined.view(len(joined), *size, joined.shape[2])

    def _sum(self, use: int, logs: Tensor) -> Tensor:
        def run(logs: Tensor) -> Tensor:
            return self.rule.mixed(logs, self.weights.of(use))

        return self._again(use, run, logs)

    def _mixture(self, use: int, operands: Tensor) -> Tensor:
        def run(operands: Tensor) -> Tensor:
            terms = operands.permute(0, 2, 3, 1) + safe_log(self.weights.of(use))
            return self.rule.terms(terms)

        return self._again(use, run, operands)

    def _again(self, use: int, run: Run, x: Tensor) -> Tensor:
        """A layer's value; on the way back it is computed again if its weights come in blocks."""
        again = torch.is_grad_enabled() and self.weights.worth_repeating(use)
        if not again or self.rule.routes:
            return run(x)
        found: Tensor = checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)
        return found

    def flows(self) -> dict[int, Tensor]:
        """The flow of the leaves, given a flow of 1 at the root, by layer."""
        wanted = list(self.leaf_values.values())
        ones = torch.ones_like(self.root)
        found = torch.autograd.grad(self.root, wanted, ones, allow_unused=True)
        flows = cast("tuple[Tensor | None, ...]", found)  # torch's stub leaves out None
        return {
            number: torch.zeros_like(value) if flow is None else flow
            for (number, value), flow in zip(self.leaf_values.items(), flows, strict=True)
        }

    def complete(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The rows, each completed along its induced tree, for draws and the best tree."""
        out, draw = rows.clone(), self.wanted is Wanted.DRAWS
        for number, flow in self.flows().items():
            batch, own, values = self.leaves[number].complete(flow, draw, generator)
            out[batch, self.leaves[number].layer.place[own]] = values
        return out


def _joined(pieces: Sequence[Tensor], dim: int) -> Tensor:
    """The pieces in one tensor; a single one is not copied."""
    return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces), dim)
