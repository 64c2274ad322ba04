"""How often each unit is used when nothing is observed: its top-down probability.

The root is used once; a sum uses its operands in proportion to its weights, a product uses all of
its operands. That is how often a unit occurs in a sampled tree, on average.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.plan.layers import Layer, Operands
from pccompiler.ir.plan.plan import Plan
from pccompiler.torch_backend.weights.weights import Weights

Share = Callable[[Tensor, Tensor], Tensor]
"""The uses of operands, from those of a layer's rows, (rows, units), and its table."""


class _Step(NamedTuple):
    """Hands the uses of some rows to their operands.

    Attributes:
        start, stop: The rows' units among all units.
        units: Units of a row.
        use: The use of weights, or -1.
        share: Shape of the result is that of ``places``.
        places: The operands' units among all units.
        once: Whether no place repeats.
    """

    start: int
    stop: int
    units: int
    use: int
    share: Share
    places: Tensor
    once: bool = False


class TopDown:
    """Top-down probabilities of all units of a plan, on one device."""

    def __init__(self, plan: Plan, weights: Weights) -> None:
        self.plan, self.weights = plan, weights
        sizes = [layer.rows * layer.units for layer in plan.layers]
        self.offsets = np.concatenate([[0], np.cumsum(sizes)])
        self.sums = [number for number, group in enumerate(plan.groups) if group.is_sum]
        self.spans: list[tuple[int, int]] = []  # for each use, its rows' units among all units
        after = self.offsets.tolist()
        for use in plan.uses:
            start = after[use.layer]
            after[use.layer] += plan.layers[use.layer].units * len(use.index)
            self.spans.append((start, after[use.layer]))
        device = next(weights.parameters()).device
        steps = [s for n in reversed(range(len(plan.layers))) for s in self._steps(n)]
        self.steps = [
            step._replace(
                places=step.places.to(device), once=len(step.places.unique()) == step.places.numel()
            )
            for step in steps
        ]

    def __call__(self, tables: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """By group of weights: how often each of their rows is used, shape (weights, rows, 1).

        Args:
            tables: Group of sums to its weights, as `Weights.constrained` returns them.
        """
        by_use: dict[int, Tensor] = {}
        for number, table in self.weights.by_group(self.sums, given=tables).items():
            by_use |= self.weights.pieces(number, table)
        like = next(iter(self.weights.parameters()))
        used = torch.zeros(int(self.offsets[-1]), dtype=torch.float64, device=like.device)
        used[-1:].fill_(1.0)
        for step in self.steps:
            rows = used[step.start : step.stop].view(-1, step.units).clone()
            table = by_use[step.use] if step.use >= 0 else used
            share = step.share(rows.to(table.dtype), table).to(used.dtype)
            if step.once:  # adding up repeated places has to sort them
                share = share + used[step.places]
            used.index_put_((step.places,), share, accumulate=not step.once)
        return {
            number: self.weights.added(number, *(self._of_use(used, u) for u in users))
            for number, users in enumerate(self.weights.users)
        }

    def _of_use(self, used: Tensor, use: int) -> Tensor:
        """How often the rows of a use of weights are used, shape (rows, units, 1)."""
        start, stop = self.spans[use]
        return used[start:stop].view(len(self.plan.uses[use].index), -1, 1)

    def _steps(self, number: int) -> list[_Step]:
        layer = self.plan.layers[number]
        start = int(self.offsets[number])
        stop, units = start + layer.rows * layer.units, layer.units
        if layer.kind == Kind.INPUT:
            return []
        if layer.ragged or layer.kind == Kind.PRODUCT:
            uses = self.plan.uses_by_layer.get(number, [-1] * len(layer.operands))
            found: list[_Step] = []
            for operands, use in zip(layer.operands, uses, strict=True):
                after = start + operands.rows * units
                places, share = self._places(operands), _whole
                if layer.ragged:
                    places, share = places.transpose(1, 2), _weighted
                found.append(_Step(start, after, units, use, share, places))
                start = after
            return found
        if layer.kind in (Kind.SUM, Kind.MIXTURE):
            parts = [self._places(operands).flatten(1) for operands in layer.operands]
            places, share = torch.cat(parts, dim=1), _mixed
            if layer.kind == Kind.MIXTURE:
                places, share = self._places(layer.operands[0]).transpose(1, 2), _weighted
            return [_Step(start, stop, units, self.plan.uses_by_layer[number][0], share, places)]
        return self._products(layer, start, stop)

    def _products(self, layer: Layer, start: int, stop: int) -> list[_Step]:
        """Products that are not elementwise: unit i reads one unit of each operand."""
        every = [  # operand by operand, (rows, units of the operand)
            place for operands in layer.operands for place in self._places(operands).unbind(1)
        ]
        reads = PRODUCTS[layer.kind].places([place.shape[1] for place in every])
        chosen = [
            place[:, torch.from_numpy(read.copy())]
            for place, read in zip(every, reads.T, strict=True)
        ]
        return [_Step(start, stop, layer.units, -1, _all, torch.stack(chosen))]

    def _places(self, operands: Operands) -> Tensor:
        """The units of all operands among all units, shape (rows, arity, units)."""
        first = operands.places(self.offsets, operands.units).T
        return torch.from_numpy(first[:, :, None] + np.arange(operands.units))


def _whole(rows: Tensor, table: Tensor) -> Tensor:
    return rows.unsqueeze(1)


def _all(rows: Tensor, table: Tensor) -> Tensor:
    return rows.unsqueeze(0)


def _mixed(rows: Tensor, table: Tensor) -> Tensor:
    return torch.bmm(rows.unsqueeze(1), table).squeeze(1)


def _weighted(rows: Tensor, table: Tensor) -> Tensor:
    """Unit i mixes units i of its operands, or a row of one unit its operands' only units."""
    return rows.unsqueeze(2) * table
