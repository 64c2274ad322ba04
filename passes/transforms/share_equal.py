"""The pass that merges equal nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Int, first_uses, hash_rows, segments
from pccompiler.ir.topology import by_level
from pccompiler.passes.base import Pass
from pccompiler.passes.rewriting.editor import Draft


@dataclass(frozen=True)
class ShareEqual(Pass):
    """Replace equal nodes (same kind, equal operands and weights) by one of them.

    Operands of elementwise products may come in any order. Weights are equal if they have equal
    given values; a weight without values equals only itself.

    Before::

        %0 = input x indicator 2
        %1 = input x indicator 2
        %2 = sum 1 %0 @0
        %3 = sum 1 %1 @0

    After::

        %0 = input x indicator 2
        %1 = sum 1 %0 @0

    and consumers of ``%3`` now use ``%1``.
    """

    name: ClassVar[str] = "share"

    def run(self, circuit: Circuit) -> Circuit:
        """Go level by level, so that equal operands are already merged."""
        draft = Draft(circuit)
        weight = _weight_classes(circuit)
        for nodes in by_level(circuit.levels):
            _share(draft, nodes, weight)
        return draft.finish()


def _weight_classes(circuit: Circuit) -> Int:
    """For each node, the class of its weight; equal weights have the same class."""
    first: dict[tuple[tuple[int, ...], bytes], int] = {}
    classes = np.arange(len(circuit.weights) + 1)
    classes[-1] = -1
    for weight, table in circuit.weights.values.items():
        key = (table.shape, table.tobytes())
        classes[weight] = first.setdefault(key, weight)
    return classes[circuit.weight]


def _share(draft: Draft, nodes: Int, weight: Int) -> None:
    """Redirect each node of one level to the first node that equals it."""
    circuit = draft.circuit
    below, lengths = _operands(draft, nodes), circuit.fan_in[nodes]
    keys = np.stack(
        [
            circuit.kind[nodes],
            circuit.units[nodes],
            circuit.family[nodes],
            circuit.variable[nodes],
            weight[nodes],
            lengths,
            _digest(below, lengths),
        ],
        axis=1,
    )
    hashes = hash_rows(keys.astype(np.uint64))
    order = np.argsort(hashes, kind="stable")
    alike = np.flatnonzero(hashes[order][1:] == hashes[order][:-1]) + 1
    if not len(alike):
        return
    pointer = segments(lengths)
    rows = [below[pointer[i] : pointer[i + 1]] for i in range(len(nodes))]
    groups: dict[int, list[int]] = {}
    for place in first_uses(np.sort(np.concatenate([order[alike], order[alike - 1]]))).tolist():
        group = groups.setdefault(int(hashes[place]), [])
        for other in group:
            if np.array_equal(keys[place, :6], keys[other, :6]) and np.array_equal(
                rows[place], rows[other]
            ):
                draft.redirect(int(nodes[place]), int(nodes[other]))
                break
        else:
            group.append(place)


def _operands(draft: Draft, nodes: Int) -> Int:
    """Operands after redirection; those of elementwise products in ascending order."""
    circuit = draft.circuit
    below = draft.alias[circuit.operands[circuit.edges_of(nodes)]]
    place = np.repeat(np.arange(len(nodes)), circuit.fan_in[nodes])
    free = np.repeat(circuit.kind[nodes] == Kind.PRODUCT, circuit.fan_in[nodes])
    given = np.arange(len(below))
    return below[np.lexsort([np.where(free, below, given), place])]


def _digest(below: Int, lengths: Int) -> Int:
    """A hash of each node's operands and their positions."""
    starts = np.repeat(segments(lengths)[:-1], lengths)
    pairs = np.stack([np.arange(len(below)) - starts, below], axis=1).astype(np.uint64)
    totals = np.zeros(len(below) + 1, np.uint64)
    np.cumsum(hash_rows(pairs), out=totals[1:])
    pointer = segments(lengths)
    return (totals[pointer[1:]] - totals[pointer[:-1]]).astype(np.int64)
