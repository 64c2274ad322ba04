"""Scopes: the set of variables under each node, as interned bit sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Int, hash_rows, segments
from pccompiler.ir.kinds import Kind
from pccompiler.ir.node_table import NodeTable

Words = NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Scopes:
    """Interned scopes.

    Attributes:
        table: Shape ``(scopes, words)``; bit ``v % 64`` of word ``v // 64`` stands for variable v.
        index: Shape ``(nodes,)``, each node's row of ``table``. Equal scopes have equal rows.
    """

    table: Words
    index: Int

    def sizes(self) -> Int:
        """Shape ``(nodes,)``, number of variables in each node's scope."""
        counts: Int = np.bitwise_count(self.table).sum(axis=1, dtype=np.int64)
        return counts[self.index]

    def variables(self, node: int) -> Int:
        """The variables in the scope of ``node``, ascending."""
        return members(self.table[self.index[node]])


def members(words: Words) -> Int:
    """The positions of the one bits of ``words``."""
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    return np.flatnonzero(bits)


class _Interner:
    """A growing table of distinct rows."""

    def __init__(self, words: int) -> None:
        self.rows = np.zeros((1024, words), np.uint64)
        self.used = 0
        self.known: dict[int, int] = {}

    def add(self, rows: Words) -> Int:
        """The table index of each row; new rows are added."""
        hashes, first, inverse = np.unique(hash_rows(rows), return_index=True, return_inverse=True)
        if not np.array_equal(rows[first][inverse], rows):
            raise AssertionError("64-bit hash collision between scopes")  # pragma: no cover
        found = np.array([self.known.get(h, -1) for h in hashes.tolist()], np.int64)
        fresh = np.flatnonzero(found < 0)
        found[fresh] = self.used + np.arange(len(fresh))
        self._append(rows[first[fresh]])
        self.known.update(zip(hashes[fresh].tolist(), found[fresh].tolist(), strict=True))
        if not np.array_equal(self.rows[found], rows[first]):
            raise AssertionError("64-bit hash collision between scopes")  # pragma: no cover
        return found[inverse]

    def _append(self, rows: Words) -> None:
        needed = self.used + len(rows)
        if needed > len(self.rows):
            grown = np.zeros((max(needed, 2 * len(self.rows)), self.rows.shape[1]), np.uint64)
            grown[: self.used] = self.rows[: self.used]
            self.rows = grown
        self.rows[self.used : needed] = rows
        self.used = needed


def find_scopes(circuit: NodeTable, by_level: Sequence[Int]) -> Scopes:
    """The scope of every node: an input's variable, otherwise the union of its operands' scopes.

    Args:
        circuit: Its nodes.
        by_level: The nodes of each level.
    """
    words = max(1, -(-len(circuit.variables) // 64))
    interner = _Interner(words)
    index = np.zeros(circuit.num_nodes, np.int64)
    for level, nodes in enumerate(by_level):
        if level == 0:
            index[nodes] = interner.add(_input_rows(circuit, nodes, words))
        else:
            index[nodes] = _unions(circuit, nodes, index, interner)
    return Scopes(interner.rows[: interner.used].copy(), index)


def _input_rows(circuit: NodeTable, nodes: Int, words: int) -> Words:
    rows = np.zeros((len(nodes), words), np.uint64)
    inputs = np.flatnonzero(circuit.kind[nodes] == Kind.INPUT)  # a node without operands has {}
    variable = circuit.variable[nodes[inputs]]
    rows[inputs, variable // 64] = np.uint64(1) << (variable % 64).astype(np.uint64)
    return rows


def _unions(circuit: NodeTable, nodes: Int, index: Int, interner: _Interner) -> Int:
    below = index[circuit.operands[circuit.edges_of(nodes)]]
    starts = segments(circuit.fan_in[nodes])[:-1]
    result = below[starts]
    alike = np.minimum.reduceat(below, starts) == np.maximum.reduceat(below, starts)
    mixed = np.flatnonzero(~alike)  # only these need a union: a smooth sum never does
    if len(mixed):
        edges = circuit.operands[circuit.edges_of(nodes[mixed])]
        starts = segments(circuit.fan_in[nodes[mixed]])[:-1]
        rows = np.bitwise_or.reduceat(interner.rows[index[edges]], starts, axis=0)
        result[mixed] = interner.add(rows)
    return result
