"""How products split their scopes: each distinct (scope, operand scopes), with one product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Int, ranges, segments
from pccompiler.ir.kinds import is_product
from pccompiler.ir.topology import reachable
from pccompiler.passes.analysis.determinism.unit_graph import distinct_rows
from pccompiler.passes.check.rule import scope, title

_MOST_PARTS = 4


@dataclass(frozen=True, eq=False)
class Partitions:
    """The distinct ways in which the products under the root split their scopes.

    Operands without variables and products of fewer than two parts do not count.

    Attributes:
        circuit: The circuit.
        scope: Shape (partitions,): row of the scope table.
        node: Shape (partitions,): a product that splits its scope this way.
        pointer: Shape (partitions + 1,).
        parts: Rows of the scope table; partition i has ``parts[pointer[i]:pointer[i + 1]]``.
    """

    circuit: Circuit
    scope: Int
    node: Int
    pointer: Int
    parts: Int

    def __len__(self) -> int:
        return len(self.scope)

    def parts_of(self, partition: int) -> Int:
        """Scope rows of the parts."""
        return self.parts[self.pointer[partition] : self.pointer[partition + 1]]

    @cached_property
    def bits(self) -> list[int]:
        """Each row of the scope table as a number, bit v for variable v."""
        table = self.circuit.scopes.table
        return [int.from_bytes(row.tobytes(), "little") for row in table]

    def masks(self, partition: int) -> list[int]:
        """The parts as bit sets."""
        return [self.bits[row] for row in self.parts_of(partition).tolist()]


def describe(circuit: Circuit, node: int) -> str:
    """``product %p splits {a, b} | {c}``."""
    parts = [scope(circuit, operand) for operand in circuit.operands_of(node).tolist()]
    rest = len(parts) - _MOST_PARTS
    more = f" | and {rest:,} more parts" if rest > 0 else ""
    return f"{title(circuit, node)} splits {' | '.join(parts[:_MOST_PARTS])}{more}"


def partitions(circuit: Circuit) -> Partitions:
    """All partitions of ``circuit``, in the order of their first products."""
    live = np.flatnonzero(reachable(circuit) & is_product(circuit.kind))
    index = circuit.scopes.index
    edges = circuit.operands[circuit.edges_of(live)]
    row = np.repeat(np.arange(len(live)), circuit.fan_in[live])
    filled = (circuit.scopes.sizes() > 0)[edges]
    parts, row = index[edges][filled], row[filled]
    lengths = np.bincount(row, minlength=len(live))
    wide = np.flatnonzero(lengths > 1)
    starts = segments(lengths)[:-1]
    flat = parts[ranges(starts[wide], lengths[wide])]
    first, _ = distinct_rows(flat, lengths[wide]) if len(wide) else (wide, wide)
    chosen = wide[np.sort(first)]
    return Partitions(
        circuit,
        index[live[chosen]],
        live[chosen],
        segments(lengths[chosen]),
        parts[ranges(starts[chosen], lengths[chosen])],
    )
