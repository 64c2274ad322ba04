"""The pass that drops nodes, edges and weights that the root does not depend on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float, Int, segments
from pccompiler.ir.generators import uses_sectors
from pccompiler.ir.kinds import SUMS
from pccompiler.passes.base import Pass
from pccompiler.passes.rewriting.editor import Draft


@dataclass(frozen=True)
class Prune(Pass):
    """Drop dead nodes, edges of weight zero, and weights that lose all their users.

    An edge of a sum is dropped if all its units have weight 0 in every row, unless a sum over
    operands of other widths shares the weight. Where a generator fills sectors, all edges stay.

    Before::

        %0 = input x bernoulli 1 @0
        %1 = input x bernoulli 1 @1
        %2 = sum 1 %0 %1 @2
        %3 = sum 1 %0 @3
        root %2
        weight @2 1.0 0.0

    After::

        %0 = input x bernoulli 1 @0
        %1 = sum 1 %0 @1
        root %1
        weight @1 1.0
    """

    name: ClassVar[str] = "prune"
    requires: ClassVar[tuple[str, ...]] = ()  # it repairs what the check refuses

    def run(self, circuit: Circuit) -> Circuit:
        """Drop zero edges, then unreachable nodes; ids are renumbered without gaps.

        Repeat until nothing changes: a dead node may have kept a shared weight alive.
        """
        while True:
            pruned = self._once(circuit)
            if pruned is circuit:
                return circuit
            circuit = pruned

    def _once(self, circuit: Circuit) -> Circuit:
        draft = Draft(circuit)
        if not uses_sectors(circuit.generator):
            _drop_zeros(draft)
        draft.changed = True  # finish drops dead nodes
        result = draft.finish()
        same = result.num_nodes == circuit.num_nodes and len(result.operands) == len(
            circuit.operands
        )
        return circuit if same and len(result.weights) == len(circuit.weights) else result


def _drop_zeros(draft: Draft) -> None:
    circuit = draft.circuit
    table = circuit.weights
    sums = np.flatnonzero(np.isin(circuit.kind, SUMS) & (circuit.fan_in > 0))
    shared: dict[int, list[int]] = {}
    with_zeros = {w for w, values in table.values.items() if (values == 0.0).any()}
    for node in sums[np.isin(circuit.weight[sums], list(with_zeros))].tolist():
        shared.setdefault(int(circuit.weight[node]), []).append(node)
    for weight, nodes in shared.items():
        widths = {_widths(circuit, node).tobytes() for node in nodes}
        kinds = {int(circuit.kind[node]) for node in nodes}
        values = table.values[weight]
        if len(widths) > 1 or len(kinds) > 1:
            continue
        width = _widths(circuit, nodes[0])
        if values.shape[1] != int(width.sum()):  # ill-formed: the check will report it
            continue
        used = _used(values, width)
        if not used.all():
            _shrink(draft, nodes, values[:, np.repeat(used, width)], used)


def _widths(circuit: Circuit, node: int) -> Int:
    """Columns of each operand of a sum."""
    if circuit.kind[node] == Kind.MIXTURE:
        return np.ones(int(circuit.fan_in[node]), np.int64)
    return circuit.units[circuit.operands_of(node)]


def _used(values: Float, widths: Int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    columns = (values != 0.0).any(axis=0)
    return np.logical_or.reduceat(columns, segments(widths)[:-1])


def _shrink(
    draft: Draft, nodes: list[int], values: Float, used: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> None:
    if not used.any():  # no probabilities: the check will report it
        return
    weight = draft.add_weight(values, heir_of=int(draft.circuit.weight[nodes[0]]))
    for node in nodes:
        start = int(draft.circuit.pointer[node])
        draft.keep[start : start + len(used)] &= used
        draft.weight[node] = weight
