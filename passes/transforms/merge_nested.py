"""The pass that merges sums of sums and products of products, and drops trivial nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float, Int, segments
from pccompiler.ir.generators import uses_sectors
from pccompiler.ir.kinds import PRODUCTS, SUMS, is_product
from pccompiler.passes.base import Pass
from pccompiler.passes.rewriting.editor import Draft


@dataclass(frozen=True)
class MergeNested(Pass):
    """Flatten sums of sums and products of products, and drop nodes that only pass a value on.

    An operand is merged into its only consumer: a product into a product, and, where both have
    given values and the result has no more entries, a sum into a sum. A repeated operand of a sum
    is kept once. Products of one operand are dropped, and so are sums that equal their operand.

    Before::

        %a = sum 1 %x %y @a
        %b = sum 1 %a %z @b
        weight @a 0.5 0.5
        weight @b 0.2 0.8

    After::

        %b = sum 1 %x %y %z @b
        weight @b 0.1 0.1 0.8
    """

    name: ClassVar[str] = "merge"

    def run(self, circuit: Circuit) -> Circuit:
        """Repeat until nothing changes: a merged node may make another one trivial."""
        while True:
            merged = _Merger(circuit).run()
            if merged is circuit:
                return circuit
            circuit = merged


class _Merger:
    """One walk, operands first."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.draft = Draft(circuit)
        self.operands: dict[int, list[int]] = {}
        self.uses = np.bincount(circuit.operands, minlength=circuit.num_nodes)
        self.uses[circuit.root] += 1

    def run(self) -> Circuit:
        for node in self._candidates().tolist():
            product = PRODUCTS.get(int(self.circuit.kind[node]))
            if product:
                if not product.nests:
                    continue
                self.product(node)
            elif self._has_values(node):
                self.sum(node)
            self.skip(node)
        for node, operands in self.operands.items():
            self.draft.set_operands(node, operands)
        return self.draft.finish()

    def _candidates(self) -> Int:
        """Nodes that may change: with a single, a repeated or a nested operand."""
        circuit = self.circuit
        owner = np.repeat(np.arange(circuit.num_nodes), circuit.fan_in)
        once = self.uses[circuit.operands] == 1
        family = is_product(circuit.kind) + 2 * np.isin(circuit.kind, SUMS)
        nested = once & (family[owner] == family[circuit.operands])
        pairs = np.sort(owner * circuit.num_nodes + circuit.operands)
        twice = pairs[1:][pairs[1:] == pairs[:-1]] // max(circuit.num_nodes, 1)
        twice = twice[np.isin(circuit.kind[twice], SUMS)]
        single = np.flatnonzero((circuit.fan_in == 1) & (circuit.kind != Kind.INPUT))
        return np.unique(np.concatenate([owner[nested], twice, single]))

    def _has_values(self, node: int) -> bool:
        generated = uses_sectors(self.circuit.generator)
        return not generated and self.table(node) is not None

    def table(self, node: int) -> Float | None:
        """The values of a sum's weight after the merges so far."""
        return self.draft.values(int(self.draft.weight[node]))

    def below(self, node: int) -> list[int]:
        """The operands of a node after the merges so far, with aliases resolved."""
        operands: Sequence[int] = self.operands.get(node) or self.circuit.operands_of(node).tolist()
        return [self.resolved(operand) for operand in operands]

    def resolved(self, node: int) -> int:
        while self.draft.alias[node] != node:
            node = int(self.draft.alias[node])
        return node

    def product(self, node: int) -> None:
        """Merge operands of the same kind that have no other consumer."""
        kind = self._kind(node)
        merged: list[int] = []
        before = self.below(node)
        for operand in before:
            alike = self.uses[operand] == 1 and self._kind(operand) == kind
            merged += self.below(operand) if alike else [operand]
        if merged != before:
            self.operands[node] = merged

    def _kind(self, node: int) -> Kind:
        """The kind of a node; a kronecker product of one unit counts as elementwise."""
        kind = Kind(int(self.circuit.kind[node]))
        return Kind.PRODUCT if kind == Kind.KRONECKER and self.circuit.units[node] == 1 else kind

    def sum(self, node: int) -> None:
        """Merge operands that are sums, and join repeated operands."""
        table = self.table(node)
        if table is None:
            return
        before = self.below(node)
        operands, blocks = self._flat(node, before, table)
        operands, blocks = _joined(operands, blocks)
        if operands != before:
            self.operands[node] = operands
            self.draft.set_weight(node, np.concatenate(blocks, axis=1))

    def _flat(self, node: int, before: list[int], table: Float) -> tuple[list[int], list[Float]]:
        """Operands and their columns of the weight, with nested sums flattened."""
        mixture = self.circuit.kind[node] == Kind.MIXTURE
        widths = [1 if mixture else int(self.circuit.units[j]) for j in before]
        cuts = segments(np.array(widths))[1:-1].tolist()
        operands: list[int] = []
        blocks: list[Float] = []
        for operand, block in zip(before, np.split(table, cuts, axis=1), strict=True):
            inner = self._inner(node, operand, block)
            if inner is None:
                operands.append(operand)
                blocks.append(block)
            else:
                operands += inner[0]
                blocks += inner[1]
        return operands, blocks

    def _inner(self, node: int, operand: int, block: Float) -> tuple[list[int], list[Float]] | None:
        """The operands of a nested sum and their columns; ``None`` if it cannot be merged."""
        if self.uses[operand] != 1 or self.circuit.kind[operand] not in SUMS:
            return None
        table = self.table(operand) if self._has_values(operand) else None
        if table is None:
            return None
        below = self.below(operand)
        mixed = Kind.MIXTURE in (self.circuit.kind[node], self.circuit.kind[operand])
        if mixed and self.circuit.units[node] * self.circuit.units[operand] > 1:
            return None
        wide = [int(self.circuit.units[j]) for j in below]
        if mixed and max(wide) > 1:
            return None
        if block.shape[0] * sum(wide) > block.size + table.size:
            return None
        cuts = segments(np.array(wide))[1:-1].tolist()
        return below, np.split(block @ table, cuts, axis=1)

    def skip(self, node: int) -> None:
        """Redirect a node that only passes its operand on."""
        below = self.below(node)
        if len(below) != 1:
            return
        width = self.circuit.units[node]
        if self.circuit.kind[node] in (*PRODUCTS, Kind.MIXTURE):
            trivial = True
        elif width == 1 and self.circuit.units[below[0]] == 1:
            trivial = self.table(node) is None or bool(self.table(node) == 1.0)
        else:
            table = self.table(node) if self._has_values(node) else None
            trivial = table is not None and np.array_equal(table, np.eye(int(width)))
        if trivial:
            self.draft.redirect(node, below[0])
            self.operands.pop(node, None)
            self.uses[below[0]] += self.uses[node] - 1


def _joined(operands: list[int], blocks: list[Float]) -> tuple[list[int], list[Float]]:
    """Each operand once, with its columns added up."""
    if len(set(operands)) == len(operands):
        return operands, blocks
    total: dict[int, Float] = {}
    for operand, block in zip(operands, blocks, strict=True):
        total[operand] = total[operand] + block if operand in total else block
    return list(total), list(total.values())
