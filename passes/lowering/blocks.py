"""Cuts a plan's layers into blocks, and orders them so that few values are alive at once.

Level order keeps whole levels alive. If layers are cut into one block for each operand position of
the blocks above, a layer of the paper's structure falls apart into the subtrees at one place of
each replica. In post-order only one block per level is alive: O(k log n) values instead of
O(k n). In a general circuit a block's values live until their last reader, and the operand that
needs more memory goes first.

Source:
    Shih, Sadigh, Ermon (2021), section 3.1 and Corollary 1; Sethi and Ullman (1970), "The
    Generation of Optimal Code for Arithmetic Expressions".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Family
from pccompiler.ir.arrays import Int, ranges, segments
from pccompiler.ir.kinds import is_product

Bool = NDArray[np.bool_]


def in_blocks(circuit: Circuit, folds: Sequence[Int], splits: int) -> list[Int]:
    """Cut sets of nodes that are computed together into blocks, and order the blocks.

    Args:
        circuit: The circuit to lower.
        folds: Sets of nodes, operands first, the root alone and last.
        splits: How many times the operands of a product become separate blocks on the way down
            from the root; 0 leaves the order as it is.

    Returns:
        The blocks, operands before readers; indicators first.
    """
    if splits == 0:
        return list(folds)
    blocks = _Blocks(*_labels(circuit, folds, splits))
    return blocks.ordered(circuit)


def _labels(circuit: Circuit, folds: Sequence[Int], splits: int) -> tuple[list[Int], Int]:
    """Blocks, readers before operands, and the block of each node (-1: none)."""
    widest = int(circuit.fan_in.max()) + 2
    nobody = np.iinfo(np.int64).max
    reader = np.full(circuit.num_nodes, nobody)
    label = np.full(circuit.num_nodes, -1)
    reader[circuit.root] = 0
    blocks: list[Int] = []
    depth = np.zeros(1 + circuit.num_nodes, np.int64)
    for fold in reversed(folds):
        shared = circuit.family[fold[0]] == Family.INDICATOR  # many blocks read them
        keys = np.zeros_like(fold) if shared else reader[fold]
        values, inverse = np.unique(keys, return_inverse=True)
        label[fold] = len(blocks) + inverse.ravel()
        order = np.argsort(inverse.ravel(), kind="stable")
        stops = np.cumsum(np.bincount(inverse.ravel()))
        blocks += [fold[part] for part in np.split(order, stops[:-1])]
        mine = label[fold]
        if not shared:
            depth[np.unique(mine)] = depth[np.maximum(values // widest - 1, 0)] + (
                values % widest > 0
            )
            _tell_operands(circuit, fold, mine, depth[mine] < splits, widest, reader)
    return blocks, label


def _tell_operands(
    circuit: Circuit, fold: Int, block: Int, may_split: Bool, widest: int, reader: Int
) -> None:
    """Record for each operand the block that reads it, and the position if these are split."""
    lengths = circuit.fan_in[fold]
    below = circuit.operands[circuit.edges_of(fold)]
    position = 1 + ranges(np.zeros_like(lengths), lengths)
    apart = is_product(circuit.kind[fold]) & may_split
    key = np.repeat((block + 1) * widest, lengths) + position * np.repeat(apart, lengths)
    np.minimum.at(reader, below, key)


@dataclass(eq=False)
class _Blocks:
    """Blocks of nodes, readers before operands."""

    nodes: list[Int]
    label: Int

    def ordered(self, circuit: Circuit) -> list[Int]:
        """All blocks in post-order, after the indicators."""
        sizes = np.array([int(circuit.units[nodes].sum()) for nodes in self.nodes])
        children = [self._children(circuit, nodes) for nodes in self.nodes]
        inputs = [circuit.family[nodes[0]] == Family.INDICATOR for nodes in self.nodes]
        need = sizes.copy()
        for block in reversed(range(len(self.nodes))):  # operands come later in the list
            below = np.array([b for b in children[block] if not inputs[b]], np.int64)
            children[block] = below = below[np.argsort(sizes[below] - need[below], kind="stable")]
            alive = segments(sizes[below])
            need[block] = max([*(alive[:-1] + need[below]).tolist(), alive[-1] + sizes[block]])
        found = [b for b in range(len(self.nodes)) if inputs[b]]
        return [self.nodes[block] for block in found + _post_order(children, inputs)]

    def _children(self, circuit: Circuit, nodes: Int) -> Int:
        return np.unique(self.label[circuit.operands[circuit.edges_of(nodes)]])


def _post_order(children: list[Int], done: list[bool]) -> list[int]:
    """Blocks from block 0 down, each after its operands, except those that are ``done``."""
    found: list[int] = []
    known = list(done)
    stack: list[tuple[int, int]] = [(0, 0)]
    while stack:
        block, next_child = stack.pop()
        if next_child == 0 and known[block]:
            continue
        known[block] = True
        if next_child < len(children[block]):
            stack += [(block, next_child + 1), (int(children[block][next_child]), 0)]
        else:
            found.append(block)
    return found
