"""The values of a column with every unit's mass on each, gathered batch by batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.kinds import Kind
from pccompiler.torch_backend.leaves.fitting.columns import Float
from pccompiler.torch_backend.leaves.fitting.statistics import Estimate, Setting, Statistics

MOST_CELLS = 4096
"""The most distinct values of a column; if there are more, quantiles replace them."""


class Cells:
    """The values that the columns of a layer take, ascending, with each unit's mass on them.

    Attributes:
        values: Shape ``(rows, cells)``; the last one is repeated if a column has fewer.
        mass: Shape ``(rows, units, cells)``.
    """

    def __init__(self, observed: list[Float], units: int, device: torch.device) -> None:
        columns = [_representatives(values) for values in observed]
        width = max(len(values) for values in columns)
        padded = [np.pad(values, (0, width - len(values)), mode="edge") for values in columns]
        self.values = torch.from_numpy(np.stack(padded)).to(device)
        between = 0.5 * (self.values[:, :-1] + self.values[:, 1:])
        self.between = between.contiguous()
        self.mass = torch.zeros((len(columns), units, width), dtype=torch.float64, device=device)

    def add(self, column: Tensor, shares: Tensor) -> None:
        """Add responsibilities, shape (rows, units, batch), for values of (rows, 1, batch)."""
        values = column[:, 0].double().nan_to_num()
        place = torch.searchsorted(self.between, values.contiguous())
        self.mass.scatter_add_(2, place.unsqueeze(1).expand(shares.shape), shares.double())


def _representatives(values: Float) -> Float:
    """The distinct values, or if there are too many, one quantile per cell."""
    distinct = np.unique(values) if len(values) else np.zeros(1)
    if len(distinct) <= MOST_CELLS:
        return distinct
    places = np.linspace(0, len(values) - 1, MOST_CELLS).astype(np.int64)
    return np.unique(np.sort(values)[places])


class SomeWeights(NamedTuple):
    """Weights of a group with their cells.

    Attributes:
        place: Their positions in the group, shape (some,).
        old: Their current parameters, shape (some, units, columns).
        points: Values, shape (some, cells), in any order.
        mass: Shape (some, units, cells).
        constants: As returned by `TorchLeaf.constants`; ``None`` if leaves of several variables
            share the weight.
    """

    place: Tensor
    old: Tensor
    points: Tensor
    mass: Tensor
    constants: tuple[Tensor, ...] | None

    def mass_with_prior(self, pseudocount: float) -> Tensor:
        """The mass with prior rows, distributed as the column is over all units of a weight."""
        seen = self.mass.sum(1, keepdim=True)
        share = seen / seen.sum(2, keepdim=True).clamp_min(1e-300)
        return self.mass + pseudocount * share


class CellStatistics(Statistics):
    """Statistics of families whose estimates depend on the individual values."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        columns, plan = setting.columns, setting.plan
        self.cells = {
            number: Cells(
                [columns.observed(v) for v in layer.variables.tolist()], layer.units, setting.device
            )
            for number, layer in enumerate(plan.layers)
            if layer.kind == Kind.INPUT
            and layer.variables is not None
            and layer.group >= 0
            and plan.groups[layer.group] is setting.group
        }
        self.index = {number: setting.places(number) for number in self.cells}
        self.constants: dict[int, tuple[Tensor, ...]] = dict.fromkeys(self.cells, ())
        places = torch.cat(list(self.index.values()))
        self.shared = torch.bincount(places, minlength=len(setting.group.weights)) > 1

    @abstractmethod
    def solve(self, some: SomeWeights, pseudocount: float) -> tuple[Tensor, Tensor]:
        """Parameters of some weights, shape (some, units, columns), and their rows, (some, units).

        Args:
            some: The weights, with their cells.
            pseudocount: Number of prior rows of each unit.
        """

    def clear(self) -> None:
        """Reset the statistics."""
        for cells in self.cells.values():
            cells.mass.zero_()

    def add(
        self, layer: int, column: Tensor, shares: Tensor, constants: tuple[Tensor, ...]
    ) -> None:
        """Add a batch to the cells of its layer."""
        self.cells[layer].add(column, shares)
        self.constants[layer] = constants

    def estimate(self, old: Tensor, scale: float | Tensor, pseudocount: float) -> Estimate:
        """Parameters weight by weight; weights shared by several leaves use all their cells."""
        values = torch.zeros_like(old)
        rows = torch.zeros_like(old[..., :1])
        for some in self._parts(old, scale):
            found = self.solve(some, pseudocount)
            values[some.place], rows[some.place] = found[0], found[1].unsqueeze(2)
        return Estimate(values, rows)

    def _parts(self, old: Tensor, scale: float | Tensor) -> Iterator[SomeWeights]:
        for number, cells in self.cells.items():
            alone = ~self.shared[self.index[number]]
            if bool(alone.any()):
                place = self.index[number][alone]
                constants = tuple(c[alone] for c in self.constants[number])
                points, mass = cells.values[alone], scale * cells.mass[alone]
                yield SomeWeights(place, old[place], points, mass, constants)
        for weight in self.shared.nonzero().flatten().tolist():
            place = torch.tensor([weight], device=old.device)
            points, mass = self._joined(weight)
            yield SomeWeights(place, old[place], points, scale * mass, None)

    def _joined(self, weight: int) -> tuple[Tensor, Tensor]:
        """All cells of a weight that several leaves share, concatenated."""
        seen = [
            (cells.values[self.index[n] == weight], cells.mass[self.index[n] == weight])
            for n, cells in self.cells.items()
        ]
        points = torch.cat([v.flatten() for v, _ in seen])
        mass = torch.cat([m.transpose(0, 1).flatten(1) for _, m in seen], dim=1)
        return points[None], mass[None]
