"""Weights of trees on CUDA that torch computes, arranged for the lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from pccompiler.torch_backend.engines.trees.launch import Launcher
from pccompiler.torch_backend.weights.weights import Weights


class Source(Protocol):
    """Makes weights of lanes, shape (components, lanes), from tensors that torch differentiates."""

    def tensors(self, weights: Weights) -> list[Tensor]:
        """The tensors that the weights are made from."""
        ...

    def make(self, tensors: Sequence[Tensor]) -> Tensor:
        """The lanes' weights."""
        ...

    def back(self, found: Tensor, batch: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Gradients of ``tensors`` from those of the lanes, as returned by `Launcher.down`."""
        ...


class Arranged:
    """Weights computed by torch, group by group, then moved to their lanes."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        self.slots = launcher.trees.slots()
        self.places: list[tuple[Tensor, Tensor]] = []

    def tensors(self, weights: Weights) -> list[Tensor]:
        """The weights of regions, roots and leaves, in plan order."""
        return [table.contiguous() for table in weights.by_group(self.slots).values()]

    def make(self, tensors: Sequence[Tensor]) -> Tensor:
        """See `Source`."""
        if not self.places:
            self._place(tensors)
        out = tensors[0].new_empty(self.launcher.components, self.launcher.lanes)
        for table, (rows, places) in zip(tensors, self.places, strict=True):
            out.view(-1)[places] = table.flatten(1)[rows]
        return out

    def back(self, found: Tensor, batch: int, tensors: Sequence[Tensor]) -> list[Tensor]:
        """See `Source`."""
        flat = self.launcher.collect(found, batch).view(-1)
        grads: list[Tensor] = []
        for table, (rows, places) in zip(tensors, self.places, strict=True):
            grads.append(torch.zeros_like(table).flatten(1).index_add_(0, rows, flat[places]))
        return [grad.view_as(table) for grad, table in zip(grads, tensors, strict=True)]

    def _place(self, tensors: Sequence[Tensor]) -> None:
        for table, slots in zip(tensors, self.slots.values(), strict=True):
            rows, component, lane = slots
            entries = np.arange(table[0].numel())
            places = (component[:, None] + entries) * self.launcher.lanes + lane[:, None]
            self.places.append(
                (torch.from_numpy(rows).to(table.device), torch.from_numpy(places).to(table.device))
            )
