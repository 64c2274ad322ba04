"""How sum weights come to be: sectors, and the generator that fills them.

A *sector* is a block of one sum's weights. The partition is a policy; the blocks follow from the
circuit (HyperSPN paper, section 3: one sector for each sum layer of a region).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pccompiler.errors import OptionError
from pccompiler.options import as_float, listed, one_of, shown, whole

Int = NDArray[np.int64]
SectorPolicy = Literal["block", "rows", "size"]
WEIGHT_FLOOR = 1e-12
"""Default smallest weight: invisible beside 1 in float32, yet it bounds every sum from below."""


def _empty() -> Int:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Sectors:
    """A partition of sum weights into sectors.

    Attributes:
        by: ``"block"``: one sector a weight matrix; ``"rows"``: one sector for each ``size`` rows
            of a weight matrix; ``"size"``: runs of ``size`` entries in row-major order. The last
            sector of a matrix may be smaller.
        size: Rows or entries in a sector; ignored by ``"block"``.
        mixtures: Whether ``mixture`` weights are partitioned too (the paper: no).
        weight: Shape ``(sectors,)``, the weight that each sector is a part of.
        offset: Shape ``(sectors,)``, first entry in that weight, row-major.
        rows: Shape ``(sectors,)``, rows of the sector seen as a matrix (1 for ``"size"``).
        columns: Shape ``(sectors,)``, entries in each row.
    """

    by: SectorPolicy = "block"
    size: int = 1
    mixtures: bool = False
    weight: Int = field(default_factory=_empty, compare=False, repr=False)
    offset: Int = field(default_factory=_empty, compare=False, repr=False)
    rows: Int = field(default_factory=_empty, compare=False, repr=False)
    columns: Int = field(default_factory=_empty, compare=False, repr=False)

    def __post_init__(self) -> None:
        one_of("sector policy", self.by, ("block", "rows", "size"))
        object.__setattr__(self, "size", whole("sector size", self.size))

    def __len__(self) -> int:
        return len(self.weight)


@dataclass(frozen=True, kw_only=True)
class Direct:
    """Every weight has its own logit.

    Attributes:
        floor: Smallest weight. A row of F logits z becomes
            ``(softmax(z) + floor) / (1 + F floor)``.
        allocation: ``"used"``, or ``"reference"`` for the sizes of the paper's "# Params" columns
            (see `Hypernetwork`).
    """

    floor: float = WEIGHT_FLOOR
    allocation: Literal["used", "reference"] = "used"

    def __post_init__(self) -> None:
        _check_floor(self.floor)
        one_of("allocation", self.allocation, ("used", "reference"))


@dataclass(frozen=True, kw_only=True)
class Hypernetwork:
    """An embedding for each sector, and one shared perceptron from embeddings to logits.

    The paper's net by default: embedding 5, Linear 5-20, ReLU, Linear 20-20, ReLU, Linear 20-k*k
    (HyperSPN paper, section 5; h = 20 for the Twenty Datasets, 10 for Amazon). Weights that no
    sector covers have logits of their own.

    Attributes:
        embedding: Length of a sector's embedding.
        hidden: Width of each hidden layer; a number is that of a single one.
        heads: ``"per-shape"``: one output layer for each sector shape. ``"slice"``: one output
            layer of the largest shape, of which smaller sectors take the upper left part (as the
            paper's authors do).
        allocation: ``"used"``: an embedding for each sector. ``"reference"``: as the authors
            allocate, two embeddings for each leaf sector (2n a replica, where 2n - 1 are used at
            most); implies ``heads="slice"``.
        floor: Smallest weight, see `Direct`.
    """

    embedding: int = 5
    hidden: tuple[int, ...] = (20, 20)  # a list or a number becomes a tuple
    heads: Literal["per-shape", "slice"] = "per-shape"
    allocation: Literal["used", "reference"] = "used"
    floor: float = WEIGHT_FLOOR

    def __post_init__(self) -> None:
        object.__setattr__(self, "embedding", whole("embedding", self.embedding))
        object.__setattr__(self, "hidden", _widths(self.hidden))
        one_of("heads", self.heads, ("per-shape", "slice"))
        _check_floor(self.floor)
        one_of("allocation", self.allocation, ("used", "reference"))

    @property
    def slices(self) -> bool:
        """Whether sectors are cut from one output of the largest shape."""
        return self.heads == "slice" or self.allocation == "reference"


Generator = Direct | Hypernetwork


def uses_sectors(generator: Generator | None) -> bool:
    """Whether the generator fills weights sector by sector, not weight by weight."""
    if isinstance(generator, Direct):
        return generator.allocation == "reference"
    return generator is not None


def _widths(hidden: object) -> tuple[int, ...]:
    """The widths of hidden layers."""
    if as_float(hidden) is not None:
        return (whole("hidden", hidden),)
    return tuple(whole("hidden", width) for width in listed("hidden", hidden))


def _check_floor(floor: object) -> None:
    number = as_float(floor)
    if number is None or not 0.0 <= number <= 1e-3:
        raise OptionError.of(
            "PC302",
            f"weight floor is {shown(floor)}",
            help="give a floor between 0 and 0.001; the default is 1e-12",
        )
