"""The lanes of a stage: the fields of its table, and their numbers and columns."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from pccompiler.ir.arrays import Int
from pccompiler.torch_backend.engines.trees.match import Child

WARP = 32


class Field(IntEnum):
    """Rows of `Stage.table`."""

    LEVEL = 0
    """Level of the lane in its piece; -1 for idle lanes."""
    PARENT = 1
    """Lane of the parent, or -1."""
    PIECE = 2
    """Number of the piece whose root is this lane, or -1."""
    ROOT = 3
    """Number of the root if this lane is one, or -1."""
    ENTRY = 4
    """Number in the warp, for lanes without a parent; otherwise 0."""
    KIND = 5
    """Kind of the first operand, see `Child`; the second operand's fields follow."""
    COLUMN = 6
    """Lane of an operand, or the column of a leaf's table in shared memory."""
    SOURCE = 7
    """Variable of a leaf, or number of a piece."""
    SLOT = 8
    """Number of a leaf among all that are read, or -1."""

    ROLE = 13
    """See `Role`."""


class Role(IntEnum):
    """What the weights of a lane are."""

    IDENTITY = 0
    SQUARE = 1
    ROOT = 2


OPERAND = 4
"""Number of fields of an operand."""
FIELDS = 14
"""Number of rows of `Stage.table`."""


def number_leaves(tables: list[Int]) -> Int:
    """Number the leaves that lanes read, neighbours together; returns their input rows."""
    found: list[Int] = []
    for table in tables:
        slots = table[[Field.SLOT, Field.SLOT + OPERAND]].transpose(1, 0, 2)
        read = slots >= 0
        found.append(slots[read])
        slots[read] = sum(map(len, found)) - len(found[-1]) + np.arange(len(found[-1]))
        table[[Field.SLOT, Field.SLOT + OPERAND]] = slots.transpose(1, 0, 2)
    return np.concatenate(found)


def number_entries(table: Int) -> int:
    """Number the lanes without a parent within each warp; returns the largest count."""
    starts = (table[Field.PARENT] < 0) & (table[Field.LEVEL] >= 0)
    table[Field.ENTRY] = np.where(starts, np.cumsum(starts, axis=1) - 1, 0)
    return int(starts.sum(axis=1).max())


def choose_columns(table: Int) -> None:
    """Put leaf tables in columns that no lane reads from rings in the same instruction."""
    for side in range(2):
        kind, column = table[Field.KIND + OPERAND * side], table[Field.COLUMN + OPERAND * side]
        used = set(column[kind == Child.LANE].tolist())
        free = [c for c in range(WARP) if c not in used]
        lanes = np.flatnonzero((table[Field.LEVEL] >= 0) & (kind != Child.LANE))
        column[lanes] = free[: len(lanes)]
        column[table[Field.LEVEL] < 0] = 0
