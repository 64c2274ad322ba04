"""Sectors: the blocks of weights that generators fill.

A *sector* is a block of one sum's weights. The partition follows from a policy
(HyperSPN paper, section 3: one sector for each sum layer of a region), or is a table of your own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pccompiler.errors import OptionError
from pccompiler.options import one_of, whole

Int = NDArray[np.int64]
SectorPolicy = Literal["block", "rows", "size", "own"]
POLICIES: tuple[SectorPolicy, ...] = get_args(SectorPolicy)
TABLE = ("weight", "offset", "rows", "columns")
"""The columns of a sector table."""


def _empty() -> Int:
    return np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Sectors:
    """A partition of sum weights into sectors: by a policy, or by a table of your own.

    Entry (i, j) of a sector is entry ``offset + i * width + j`` of its weight, row-major, where
    ``width`` is the number of columns of the weight. A table of your own covers each weight that it
    names exactly once; weights that it does not name have logits of their own. It is kept in the
    order of weights and offsets, whatever the order it is given in.

    Attributes:
        by: ``"block"``: one sector per weight matrix; ``"rows"``: one sector for each ``size`` rows
            of a weight matrix; ``"size"``: runs of ``size`` entries in row-major order. The last
            sector of a matrix may be smaller. ``"own"``: as in the table. By default
            ``"own"`` if there is a table, otherwise ``"block"``.
        size: Rows or entries in a sector; ignored by ``"block"`` and ``"own"``.
        mixtures: Whether ``mixture`` weights are partitioned too (the paper: no); ignored by
            ``"own"``, whose table may name them.
        weight: Shape ``(sectors,)``, the weight that each sector is a part of.
        offset: Shape ``(sectors,)``, first entry in that weight, row-major.
        rows: Shape ``(sectors,)``, rows of the sector seen as a matrix (1 for ``"size"``).
        columns: Shape ``(sectors,)``, entries in each row.

    Raises:
        OptionError: If the policy is unknown, the size is less than 1, or the table is not four
            columns of one length, of whole numbers.
    """

    by: SectorPolicy | None = None
    size: int = 1
    mixtures: bool = False
    weight: Int = field(default_factory=_empty, repr=False)
    offset: Int = field(default_factory=_empty, repr=False)
    rows: Int = field(default_factory=_empty, repr=False)
    columns: Int = field(default_factory=_empty, repr=False)

    def __post_init__(self) -> None:
        table = table_columns({name: getattr(self, name) for name in TABLE})
        by = self.by or ("own" if len(table["weight"]) else "block")
        if by != "own":  # set by a table
            one_of("sector policy", by, POLICIES[:-1])
        object.__setattr__(self, "size", whole("sector size", self.size))
        if by == "own":
            order = np.lexsort([table["offset"], table["weight"]])
            table = {name: column[order] for name, column in table.items()}
            object.__setattr__(self, "size", 1)
            object.__setattr__(self, "mixtures", False)
        for name, value in {"by": by, **table}.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.weight)

    def __eq__(self, other: object) -> bool:
        """Whether both have the same policy; for user-defined tables, the same table."""
        if not isinstance(other, Sectors):
            return NotImplemented
        alike = (self.by, self.size, self.mixtures) == (other.by, other.size, other.mixtures)
        return alike and (self.by != "own" or self.same_table(other))

    def __hash__(self) -> int:
        return hash((self.by, self.size, self.mixtures))

    def same_table(self, other: Sectors) -> bool:
        """Whether both have the same sectors, regardless of policy."""
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in TABLE)

    def policy(self) -> Sectors:
        """The policy without its table, to partition another circuit."""
        return Sectors(self.by, self.size, self.mixtures)


def table_columns(columns: Mapping[str, ArrayLike]) -> dict[str, Int]:
    """The columns of a sector table as 64-bit integers.

    Raises:
        OptionError: If one is not a list of whole numbers, or their lengths differ.
    """
    arrays = {name: _whole_numbers(name, column) for name, column in columns.items()}
    lengths = {name: len(column) for name, column in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise OptionError.of(
            "PC126",
            f"the columns of the sector table have different lengths: {told}",
            help=f"give {', '.join(TABLE)}, each with one entry per sector",
        )
    return arrays


def _whole_numbers(name: str, column: ArrayLike) -> Int:
    try:
        array = np.asarray(column)
    except ValueError:  # a ragged list
        array = np.asarray(None)
    if array.ndim == 1 and array.size == 0:
        return _empty()
    bound = np.iinfo(np.int64).max
    if array.ndim != 1 or array.dtype.kind not in "iu" or int(array.max()) > bound:
        raise OptionError.of(
            "PC126",
            f"column {name!r} of the sector table is not a list of whole numbers",
            help=f"give {name} as integers, one per sector",
        )
    return array.astype(np.int64)
