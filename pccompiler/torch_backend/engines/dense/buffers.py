"""Buffers that the dense engine's kernels read and write."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pccompiler.ir.arrays import Int
from pccompiler.torch_backend.engines.dense.regions import Lists, Regions
from pccompiler.torch_backend.engines.dense.tiles import Tiles


class Kept(NamedTuple):
    """What a forward pass keeps; the module `kernels` describes the layouts."""

    codes: Tensor
    values: Tensor
    scales: Tensor
    terms: Tensor
    tops: Tensor


class Lookup(NamedTuple):
    """Lists on the device: starts and items."""

    starts: Tensor
    items: Tensor


Precision = Literal["ieee", "tf32", "bf16"]
"""Rounding of operands in matrix products: none, 11 bits, 8 bits. Sums are float32."""


class Numbers:
    """The arrays of `Regions` on one device, shared by all launches."""

    def __init__(
        self, regions: Regions, device: torch.device, precision: Precision, tiles: Tiles
    ) -> None:
        self.regions, self.device, self.precision, self.tiles = regions, device, precision, tiles
        self.leaves, self.children = self.lists(regions.leaves), self.lists(regions.children)
        spots, rows = regions.products, len(regions.values)
        readers = regions.children.transposed(rows)
        takers = regions.leaves.transposed(len(regions.states))
        self.weights = self._put(regions.weights)
        self.readers = self.lists(Lists(readers.starts, spots[readers.items]))
        self.takers = self.lists(Lists(takers.starts, spots[takers.items]))
        self.values, self.terms = self._put(regions.values), self._put(regions.terms)
        self.spots, self.tables = self._put(spots), self._put(regions.tables)
        self.states, self.variables = self._put(regions.states), self._put(regions.variables)

    @property
    def products(self) -> str:
        """The precision of products that are faster split than in float32."""
        return "split" if self.precision == "ieee" else self.precision

    def _put(self, numbers: Int) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(numbers, np.int64)).to(self.device)

    def lists(self, lists: Lists) -> Lookup:
        """The lists on the device."""
        return Lookup(self._put(lists.starts), self._put(lists.items))
