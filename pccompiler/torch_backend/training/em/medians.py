"""Weighted medians of Laplace leaves, from responsibilities that come batch by batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.training.column_statistics import Float

MOST_CELLS = 4096
"""Distinct values of a column that medians tell apart; of more, quantiles take their place."""


class Cells:
    """The values that the columns of one layer take, ascending, with each unit's mass on them.

    Attributes:
        values: Shape ``(rows, cells)``; the last one is repeated where a column has fewer.
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
    """The distinct values, or as many quantiles of them as there are cells."""
    distinct = np.unique(values) if len(values) else np.zeros(1)
    if len(distinct) <= MOST_CELLS:
        return distinct
    places = np.linspace(0, len(values) - 1, MOST_CELLS).astype(np.int64)
    return np.unique(np.sort(values)[places])


def medians(values: Tensor, mass: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted medians, sums of distances from them, and total masses, each (rows, units).

    Args:
        values: Shape ``(rows, cells)``, in any order.
        mass: Shape ``(rows, units, cells)``.
    """
    order = values.argsort(dim=1)
    ordered = values.gather(1, order).unsqueeze(1).expand(mass.shape)
    sorted_mass = mass.gather(2, order.unsqueeze(1).expand(mass.shape))
    running = sorted_mass.cumsum(2)
    total = running[..., -1:]
    place = (running < 0.5 * total).sum(2, keepdim=True).clamp_max(values.shape[1] - 1)
    median = ordered.gather(2, place)
    distance = (sorted_mass * (ordered - median).abs()).sum(2)
    return median[..., 0], distance, total[..., 0]
