"""The weights of each layer, which may differ from row to row of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from pccompiler.errors import DataError
from pccompiler.ir.arrays import Int
from pccompiler.ir.plan.parameters import parameter_name
from pccompiler.torch_backend.conditional.coverage import Coverage
from pccompiler.torch_backend.conditional.external import Entries, InBlocks
from pccompiler.torch_backend.weights.weights import Weights, constrain


class Part:
    """How one use of a weight group is put together.

    Attributes:
        any: Whether some of its weights are external.
        entries: Places of their numbers in a row of output.
        own: Places in the group of the weights that are not.
        order: Where each weight is, external ones before others; ``None`` if all are external.
    """

    def __init__(self, weights: Int, places: Int, coverage: Coverage, device: torch.device) -> None:
        covered = np.isin(weights, coverage.weights)
        where = coverage.entries(weights[covered])
        self.any = bool(covered.any())
        in_a_row = len(where) > 0 and bool((np.diff(where) == 1).all())
        self.entries: Entries = (
            slice(int(where[0]), int(where[-1]) + 1)
            if in_a_row
            else torch.from_numpy(where).to(device)
        )
        self.own = torch.from_numpy(places[~covered]).to(device)
        order = np.argsort(np.argsort(~covered, kind="stable"))
        self.order = None if covered.all() else torch.from_numpy(order).to(device)


class Parts:
    """The parts of all uses of a plan, on one device."""

    def __init__(self, weights: Weights, coverage: Coverage, device: torch.device) -> None:
        plan, self.device = weights.plan, device
        self.by_use = [
            Part(plan.groups[use.group].weights[use.index], use.index, coverage, device)
            for use in plan.uses
        ]
        keys = [(use.group, use.index.tobytes()) for use in plan.uses]
        often = Counter(keys)
        self.repeated = [key if often[key] > 1 else None for key in keys]


class RowWeights:
    """Weights for each use of a plan, given what an external module made.

    Args:
        weights: The weights' own parameters.
        parts: Of the same weights.
        module: The external module.
        made: Its features if it works in blocks, otherwise all of its numbers; shape (rows, ...).
        own: The weights of uses that are not external, if they are known.
    """

    def __init__(
        self,
        weights: Weights,
        parts: Parts,
        module: nn.Module,
        made: Tensor,
        own: Mapping[int, Tensor] | None = None,
    ) -> None:
        self.weights, self.parts, self.module, self.made = weights, parts, module, made
        self.own = self._not_external() if own is None else own
        self.in_blocks = isinstance(module, InBlocks)
        self._kept: dict[object, Tensor] = {}

    def repeated(self, number: int) -> RowWeights:
        """The weights of each row so many times, one after the other."""
        index = torch.arange(len(self.made), device=self.made.device)
        return self.some(index.repeat_interleave(number))

    def some(self, rows: slice | Tensor) -> RowWeights:
        """The weights of some rows."""
        return RowWeights(self.weights, self.parts, self.module, self.made[rows], self.own)

    @property
    def largest(self) -> int:
        """Numbers that a row's weights take at once."""
        plan = self.weights.plan
        sizes = [
            len(use.index) * plan.groups[use.group].rows * plan.groups[use.group].columns
            for number, use in enumerate(plan.uses)
            if self.external(number)
        ]
        return max(sizes) if self.in_blocks else sum(sizes)

    def external(self, use: int) -> bool:
        """Whether some of the weights of a use differ from row to row."""
        return self.parts.by_use[use].any

    def worth_repeating(self, use: int) -> bool:
        """Whether the weights should be made again on the way back instead of being kept."""
        return self.in_blocks and self.external(use) and self.parts.repeated[use] is None

    def of(self, use: int) -> Tensor:
        """Shape (weights, rows, columns), or (batch, weights, rows, columns)."""
        key = self.parts.repeated[use]
        if key is None:
            return self._made(use)
        if key not in self._kept:
            self._kept[key] = self._made(use)
        return self._kept[key]

    def _made(self, use: int) -> Tensor:
        part, used = self.parts.by_use[use], self.weights.plan.uses[use]
        plan, group = self.weights.plan, self.weights.plan.groups[used.group]
        if not part.any:
            return self.own[use]
        raw = self._numbers(part.entries).unflatten(1, (-1, group.rows, group.columns))
        if part.order is not None:
            parameter = self.weights.values[parameter_name(plan, used.group)]
            own = parameter.index_select(0, part.own).expand(len(raw), -1, -1, -1)
            raw = torch.cat([raw, own], 1).index_select(1, part.order)
        if group.is_simplex:
            return constrain(raw, group, plan.floor)
        flat = constrain(raw.flatten(0, 1), group, plan.floor)
        return flat.view(*raw.shape[:2], *flat.shape[1:])

    def _not_external(self) -> dict[int, Tensor]:
        """The weights of the other uses, which are the same for all rows."""
        uses = self.weights.plan.uses
        free = {use for use in range(len(uses)) if not self.external(use)}
        groups = sorted({uses[use].group for use in free})
        made = self.weights.by_group(groups)
        pieces = [self.weights.pieces(number, made[number]) for number in groups]
        return {use: piece for group in pieces for use, piece in group.items() if use in free}

    def _numbers(self, entries: Entries) -> Tensor:
        if isinstance(self.module, InBlocks):
            made = self.module.logits(self.made, entries)
        else:
            made = self.made[:, entries]
        return made.to(next(iter(self.weights.values.values())).dtype)


def raw_by_name(weights: Weights, coverage: Coverage, made: Tensor) -> dict[str, Tensor]:
    """One row of numbers as raw values of the weights' parameters, by name.

    Args:
        weights: The weights.
        coverage: Which of them are external.
        made: Shape (size,).
    """
    found: dict[str, Tensor] = {}
    for number, group in enumerate(weights.plan.groups):
        covered = np.flatnonzero(np.isin(group.weights, coverage.weights))
        if len(covered) == 0:
            continue
        name = parameter_name(weights.plan, number)
        where = torch.from_numpy(coverage.entries(group.weights[covered])).to(made.device)
        raw = made[where].view(-1, group.rows, group.columns).to(weights.values[name].dtype)
        if len(covered) < len(group.weights):
            place = torch.from_numpy(covered).to(made.device)
            raw = weights.values[name].index_copy(0, place, raw)
        found[name] = raw
    return found


def check_output(made: Tensor, rows: int, size: int, module: nn.Module) -> None:
    """Refuse output that does not fit.

    Raises:
        DataError: If the shape is not (rows, size), or a number is not finite.
    """
    if made.shape != (rows, size):
        raise DataError.of(
            "PC923",
            f"{type(module).__name__} made numbers of shape {tuple(made.shape)}, but the weights "
            f"need ({rows}, {size})",
            help="External.size(circuit) is the number for each row of the context",
        )
    waits = made.device.type == "cuda" and made.requires_grad  # training does not wait for a GPU
    if not waits and not _capturing(made) and not bool(made.isfinite().all()):
        raise DataError.of(
            "PC923",
            f"{type(module).__name__} made numbers that are not finite",
            help="check the context and the module's parameters for NaN and infinity",
        )


def _capturing(made: Tensor) -> bool:
    return made.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
