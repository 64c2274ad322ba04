"""A set of worlds as a factor, split as the circuit that it is multiplied by."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from operator import or_

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir.arrays import Float
from pccompiler.ir.families.builtin.histogram import normalized
from pccompiler.passes.rewriting.factor import Factor
from pccompiler.passes.rewriting.leaf_products import LeafProduct, states

Bool = NDArray[np.bool_]


class Worlds(Factor):
    """A factor that is 1 in allowed worlds and 0 in others.

    A node is a table over the variables that its value depends on; equal tables are one node. If
    it meets a product whose operands share these variables, it becomes a sum of products of two
    tables, one over the variables of the first such operand and one over the rest. The first
    tables of such a sum exclude each other, and the second ones differ.

    Args:
        columns: Indices of the variables.
        allowed: An axis for each variable; some world must be allowed.
    """

    def __init__(self, columns: Sequence[int], allowed: Bool) -> None:
        super().__init__()
        self._tables: dict[int, tuple[tuple[int, ...], Bool]] = {}
        self._known: dict[tuple[tuple[int, ...], bytes], int] = {}
        self._splits: dict[tuple[int, int], int] = {}
        self.root = self._table(tuple(columns), allowed)

    def terms(self, node: int) -> list[tuple[int, Float]]:
        """See `Factor.terms`."""
        below = self.operands[node] if self.is_sum(node) else [node]
        return [(operand, np.ones((1, 1))) for operand in below]

    def leaf(self, left: Circuit, a: int, node: int) -> LeafProduct:
        """The distributions of an input, restricted to the allowed states of its variable."""
        _, allowed = self._tables[node]
        rows = states(left, a, left.variables[int(left.variable[a])]) * allowed
        return LeafProduct(Family.CATEGORICAL, *normalized(rows))

    def label(self, node: int) -> str:
        """The factor has no labels."""
        return "the constraint"

    def split_as(self, node: int, scopes: Sequence[int]) -> int:
        """The node itself if one of the scopes has all of its variables, otherwise a sum."""
        shared = [scope & self.scopes[node] for scope in scopes if scope & self.scopes[node]]
        if node not in self._tables or len(shared) < 2:
            return node
        if (node, shared[0]) not in self._splits:
            self._splits[node, shared[0]] = self._split(node, shared[0])
        return self._splits[node, shared[0]]

    def _split(self, node: int, scope: int) -> int:
        """``node`` as a sum of products of a table over ``scope`` and one over the rest."""
        columns, allowed = self._tables[node]
        first = [axis for axis, v in enumerate(columns) if scope >> v & 1]
        rest = [axis for axis in range(len(columns)) if axis not in first]
        shapes = [[allowed.shape[axis] for axis in axes] for axes in (first, rest)]
        matrix = allowed.transpose(first + rest).reshape(prod(shapes[0]), prod(shapes[1]))
        subs, which = np.unique(matrix, axis=0, return_inverse=True)
        pairs: list[int] = []
        for number in np.flatnonzero(subs.any(axis=1)).tolist():
            prime = (which.reshape(-1) == number).reshape(shapes[0])
            parts = [
                self._table(tuple(columns[axis] for axis in axes), table)
                for axes, table in ((first, prime), (rest, subs[number].reshape(shapes[1])))
            ]
            pairs.append(self._add(Kind.PRODUCT, [p for p in parts if self.scopes[p]]))
        return pairs[0] if len(pairs) == 1 else self._add(Kind.SUM, pairs)

    def _table(self, columns: tuple[int, ...], allowed: Bool) -> int:
        """The node of a table, without the variables that it does not depend on."""
        for axis in reversed(range(len(columns))):
            first = allowed.take([0], axis)
            if (allowed == first).all():
                allowed = first.squeeze(axis)
                columns = columns[:axis] + columns[axis + 1 :]
        order = sorted(range(len(columns)), key=lambda axis: columns[axis])
        columns = tuple(columns[axis] for axis in order)
        allowed = np.ascontiguousarray(allowed.transpose(order))
        key = (columns, np.packbits(allowed).tobytes())
        if key not in self._known:
            scope = reduce(or_, (1 << v for v in columns), 0)
            self._known[key] = self._add(Kind.INPUT, [], scope)
            self._tables[self._known[key]] = (columns, allowed)
        return self._known[key]

    def _add(self, kind: Kind, operands: list[int], scope: int | None = None) -> int:
        self.kinds.append(kind)
        self.units.append(1)
        self.operands.append(operands)
        below = (self.scopes[operand] for operand in operands)
        self.scopes.append(reduce(or_, below, 0) if scope is None else scope)
        return len(self.kinds) - 1
