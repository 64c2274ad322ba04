"""Values computed step by step, with rows that any later step can read; differentiable."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.arrays import Int


class Store:
    """Rows of all steps, numbered consecutively; no row is written twice, which suits autograd.

    Args:
        starts: First row of each step, ascending.
    """

    def __init__(self, starts: Int) -> None:
        self.starts = starts
        self.steps: list[tuple[Tensor, Tensor]] = []

    def add(self, logs: Tensor, values: Tensor) -> None:
        """Add a step: logarithms, shape (rows, batch), and values, (rows, channels, batch)."""
        self.steps.append((logs, values))

    def gather(self, rows: Int) -> tuple[Tensor, Tensor]:
        """Logarithms and values of ``rows`` from earlier steps."""
        step = np.searchsorted(self.starts, rows, side="right") - 1
        used, place = np.unique(step, return_inverse=True)
        chosen = [self.steps[int(s)] for s in used]
        sizes = np.array([len(logs) for logs, _ in chosen], np.int64)
        first = np.cumsum(sizes) - sizes
        local = rows - self.starts[step] + first[place.reshape(-1)]
        index = torch.from_numpy(local).to(chosen[0][0].device)
        logs = torch.cat([pair[0] for pair in chosen]) if len(chosen) > 1 else chosen[0][0]
        values = torch.cat([pair[1] for pair in chosen]) if len(chosen) > 1 else chosen[0][1]
        return logs.index_select(0, index), values.index_select(0, index)
