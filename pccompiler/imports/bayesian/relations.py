"""Functions of a few discrete variables, as lists of the states where they are not zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Float, Int, hash_rows, ranges

States = NDArray[np.int32]


class TooManyRowsError(Exception):
    """Raised instead of making a join with too many rows."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


@dataclass(frozen=True, eq=False)
class Relation:
    """A function of the states of some variables.

    Attributes:
        scope: The variables.
        states: Shape ``(rows, variables)``, distinct joint states; elsewhere the function is 0.
        weights: Shape ``(rows,)``, positive.
        nodes: Arrays of shape ``(rows,)``: circuit nodes; their product is a further factor.
    """

    scope: tuple[int, ...]
    states: States
    weights: Float
    nodes: tuple[Int, ...] = ()

    def __len__(self) -> int:
        return len(self.weights)

    @classmethod
    def of_table(cls, scope: tuple[int, ...], table: Float) -> Relation:
        """The entries of ``table`` that are not 0; it has an axis for each variable."""
        places = np.nonzero(table)
        return cls(scope, np.stack(places, axis=1).astype(np.int32), table[places])

    def column(self, variable: int) -> States:
        """The states of one variable."""
        return self.states[:, self.scope.index(variable)]


def join(left: Relation, right: Relation, sizes: Sequence[int], most: int) -> Relation:
    """The product of two functions.

    Raises:
        TooManyRowsError: If it would be nonzero in more than ``most`` states.
    """
    shared = [v for v in left.scope if v in right.scope]
    mine, others = keys([[r.column(v) for v in shared] for r in (left, right)], shared, sizes)
    order = np.argsort(others, kind="stable")
    others = others[order]
    first = np.searchsorted(others, mine, "left")
    counts = np.searchsorted(others, mine, "right") - first
    total = int(counts.sum())
    if total > most:
        raise TooManyRowsError(total)
    a = np.repeat(np.arange(len(left)), counts)
    b = order[ranges(first, counts)]
    new = [place for place, v in enumerate(right.scope) if v not in shared]
    return Relation(
        (*left.scope, *(right.scope[place] for place in new)),
        np.concatenate([left.states[a], right.states[b][:, new]], axis=1),
        left.weights[a] * right.weights[b],
        (*(nodes[a] for nodes in left.nodes), *(nodes[b] for nodes in right.nodes)),
    )


def join_all(
    relations: Sequence[Relation], variable: int, sizes: Sequence[int], most: int
) -> Relation:
    """The product of functions that all have ``variable``; small and similar ones come first."""
    left = sorted(relations, key=len)
    result = left.pop(0)
    while left:
        known = set(result.scope)
        best = max(left, key=lambda r: (len(known & set(r.scope)) / len(r.scope), -len(r)))
        left.remove(best)
        result = join(result, best, sizes, most)
    return result


def keys(
    tables: Sequence[Sequence[States]], scope: Sequence[int], sizes: Sequence[int]
) -> list[Int]:
    """For each table of columns, a key for each row; equal rows of any tables have equal keys."""
    lengths = [len(columns[0]) if columns else 0 for columns in tables]
    key = np.zeros(sum(lengths), np.int64)
    room = 1
    for place, variable in enumerate(scope):
        if room * sizes[variable] > 2**62:
            key = np.unique(key, return_inverse=True)[1].ravel()
            room = len(key)
        column = np.concatenate([columns[place] for columns in tables])
        key = key * sizes[variable] + column
        room *= sizes[variable]
    return np.split(key, np.cumsum(lengths)[:-1])


def distinct(columns: Sequence[Int]) -> tuple[Int, Int]:
    """The first of each set of equal rows in a table of columns, and the set of each row."""
    table = np.stack(columns, axis=1)
    _, first, kind = np.unique(
        hash_rows(table.astype(np.uint64)), return_index=True, return_inverse=True
    )
    kind = kind.ravel()
    if not np.array_equal(table[first][kind], table):
        raise AssertionError("64-bit hash collision between rows")  # pragma: no cover
    return first, kind
