"""Weights that a small perceptron makes of embeddings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np

from pccompiler.ir.arrays import Float
from pccompiler.ir.generators.base import (
    ALLOCATIONS,
    WEIGHT_FLOOR,
    Generator,
    Head,
    Parameters,
    Shapes,
    allocated,
)
from pccompiler.options import as_float, listed, one_of, whole


@dataclass(frozen=True, kw_only=True)
class Hypernetwork(Generator):
    """An embedding for each sector, and one shared perceptron from embeddings to logits.

    The paper's net by default: embedding 5, Linear 5-20, ReLU, Linear 20-20, ReLU, Linear 20-k*k
    (HyperSPN paper, section 5; h = 20 for the Twenty Datasets, 10 for Amazon). Weights that no
    sector covers have logits of their own.

    Attributes:
        embedding: Length of a sector's embedding.
        hidden: Width of each hidden layer; a number means a single layer.
        heads: ``"per-shape"``: one output layer for each sector shape. ``"slice"``: one output
            layer of the largest shape, whose upper left part smaller sectors use (as the paper's
            authors do).
        allocation: ``"used"``: an embedding for each sector. ``"reference"``: as the authors
            allocate, two embeddings for each leaf sector (2n per replica, of which at most 2n - 1
            are used); implies ``heads="slice"``.
        floor: Smallest weight, see `Direct`.
    """

    keyword: ClassVar[str] = "hypernetwork"
    table: ClassVar[str] = "embedding"
    embedding: int = 5
    hidden: tuple[int, ...] = (20, 20)  # a list or a number becomes a tuple
    heads: Literal["per-shape", "slice"] = "per-shape"
    allocation: Literal["used", "reference"] = "used"
    floor: float = WEIGHT_FLOOR

    def __post_init__(self) -> None:
        object.__setattr__(self, "embedding", whole("embedding", self.embedding))
        object.__setattr__(self, "hidden", _widths(self.hidden))
        one_of("heads", self.heads, ("per-shape", "slice"))
        super().__post_init__()
        one_of("allocation", self.allocation, ALLOCATIONS)

    @property
    def slices(self) -> bool:
        """Whether sectors are cut from one output of the largest shape."""
        return self.heads == "slice" or self.allocation == "reference"

    @property
    def width(self) -> int:
        """That of the last hidden layer."""
        return max(self.hidden[-1:], default=0)

    def codes(self, sectors: int, leaf_sectors: int) -> int:
        """One embedding a sector, or as allocated."""
        return allocated(self.allocation, sectors, leaf_sectors)

    def shapes(self, heads: Sequence[Head], codes: int) -> Shapes:
        """Embeddings, hidden layers, output layers."""
        widths = (self.embedding, *self.hidden)
        layers = {f"hidden_{i}": pair for i, pair in enumerate(pairwise(widths))}
        outputs = {h.name: h.rows * h.columns for h in heads}
        if self.slices:
            outputs = {"head": math.prod(heads[0].largest)}
        layers |= {name: (widths[-1], size) for name, size in outputs.items()}
        shapes: Shapes = {self.table: (codes, self.embedding)}
        for name, (inputs, size) in layers.items():
            shapes[f"{name}_weight"] = (size, inputs)
            shapes[f"{name}_bias"] = (size,)
        return shapes

    def logits(self, codes: Float, head: Head, parameters: Parameters) -> Float:
        """The perceptron of each embedding."""
        values = codes
        for number in range(len(self.hidden)):
            values = np.maximum(_linear(values, parameters, f"hidden_{number}"), 0.0)
        if not self.slices:
            return _linear(values, parameters, head.name).reshape(-1, head.rows, head.columns)
        blocks = _linear(values, parameters, "head").reshape(-1, *head.largest)
        return blocks[:, : head.rows, : head.columns]

    def start(self, name: str, uniform: Float, shapes: Mapping[str, tuple[int, ...]]) -> Float:
        """Embeddings from [0, 1], linear layers as torch has them by default."""
        if name == self.table:
            return uniform
        layer = name.removesuffix("_bias").removesuffix("_weight")
        return (2.0 * uniform - 1.0) / math.sqrt(shapes[f"{layer}_weight"][1])

    def products(self, heads: Sequence[Head]) -> list[tuple[int, int, int]]:
        """Hidden layers for each embedding, and each head for its sectors."""
        used = sum(len(head.sectors) for head in heads)
        widths = (self.embedding, *self.hidden)
        outputs = [(len(h.sectors), widths[-1], h.rows * h.columns) for h in heads]
        return [*((used, *pair) for pair in pairwise(widths)), *outputs]


def _linear(values: Float, parameters: Parameters, name: str) -> Float:
    return values @ parameters[f"{name}_weight"].T + parameters[f"{name}_bias"]


def _widths(hidden: object) -> tuple[int, ...]:
    """The widths of hidden layers."""
    if as_float(hidden) is not None:
        return (whole("hidden", hidden),)
    return tuple(whole("hidden", width) for width in listed("hidden", hidden))
