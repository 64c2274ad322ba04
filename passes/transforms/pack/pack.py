"""The pass that packs scalar nodes into vector nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pccompiler.ir import Circuit, Kind
from pccompiler.ir.arrays import Float, Int, first_uses, segments
from pccompiler.ir.node_table import WeightTable
from pccompiler.ir.sectors import partition_again
from pccompiler.passes.base import Pass
from pccompiler.passes.transforms.pack.find import find_vectors
from pccompiler.passes.transforms.pack.vectors import Vectors, columns_of

_DENSE = int(Kind.SUM)


@dataclass(frozen=True)
class Pack(Pass):
    """Pack scalar nodes that are computed alike into one vector node.

    Sums over the same operands become one dense sum; leaves of one variable and family one input;
    aligned products one elementwise product, all pairs a Kronecker product; aligned sums a mixture.
    A vector is made only where every consumer reads the whole of it, so that the work does not
    grow: the circuit has the same function, the same weights, and as many edges between units.

    Before::

        %a = input x bernoulli 1 @a
        %b = input x bernoulli 1 @b
        %c = sum 1 %a %b @c
        %d = sum 1 %a %b @d

    After::

        %0 = input x bernoulli 2 @0
        %1 = sum 2 %0 @1
    """

    name: ClassVar[str] = "pack"

    def run(self, circuit: Circuit) -> Circuit:
        """Find the coarsest partition into vectors, and write each vector once."""
        while (vectors := find_vectors(circuit)) is not None:
            circuit = _Writer(circuit, vectors).run()  # a packed circuit may have more to pack
        return circuit


class _Writer:
    """Writes the vectors as a circuit."""

    def __init__(self, circuit: Circuit, vectors: Vectors) -> None:
        self.circuit, self.vectors = circuit, vectors
        self.first = vectors.first
        self.kind = circuit.kind[self.first].copy()
        self.units = circuit.units[self.first] * vectors.sizes
        self.weight = circuit.weight[self.first].copy()
        self.tables: list[Float | None] = []
        self.shapes: list[tuple[int, int]] = []
        self.known: dict[bytes, int] = {}
        self.columns = circuit.weights.columns
        owned = circuit.weight[circuit.weight >= 0]
        self.shared = np.bincount(owned, minlength=len(circuit.weights)) > 1

    def run(self) -> Circuit:
        """The circuit of vectors; node ids are class numbers."""
        circuit, vectors = self.circuit, self.vectors
        self.kinds()
        for number in self.changed().tolist():
            self.weight[number] = self.new_weight(number)
        pointer, operands = self.edges()
        scalar = vectors.sizes[vectors.of] == 1
        result = circuit.replace(
            kind=self.kind,
            units=self.units,
            pointer=pointer,
            operands=operands,
            family=circuit.family[self.first],
            variable=circuit.variable[self.first],
            root=int(vectors.of[circuit.root]),
            names={int(vectors.of[n]): name for n, name in circuit.names.items() if scalar[n]},
            location=None if circuit.location is None else circuit.location[self.first],
            sectors=None,
            generator=None,
            **self.renumbered(),
        )
        place = np.full(len(circuit.weights) + len(self.tables) + 1, -1)
        place[self.weight] = result.weight
        place[-1] = -1
        stacked = np.zeros(len(circuit.weights), np.bool_)
        given = (circuit.weight >= 0) & (circuit.weight != self.weight[vectors.of])
        stacked[circuit.weight[given]] = True
        result = partition_again(circuit, result, place[: len(circuit.weights)], stacked)
        return result.replace(generator=circuit.generator)

    def kinds(self) -> None:
        """Set the kinds of Kronecker products and mixtures."""
        vector = self.vectors.sizes > 1
        self.kind[vector & self.vectors.kronecker] = Kind.KRONECKER
        lanes = vector & (self.kind == Kind.SUM) & ~self.vectors.shape.dense[self.first]
        self.kind[lanes] = Kind.MIXTURE

    def changed(self) -> Int:
        """Classes that need a new weight: vectors, and sums that read vectors."""
        vectors = self.vectors
        reads = np.zeros(len(vectors.sizes), np.bool_)
        owner = vectors.of[vectors.shape.owner]
        reads[owner[vectors.sizes[vectors.of[self.circuit.operands]] > 1]] = True
        return np.flatnonzero((self.weight >= 0) & (reads | (vectors.sizes > 1)))

    def new_weight(self, number: int) -> int:
        """Stack the rows of a class's weights, columns in operand order; returns the new id."""
        members = self.vectors.members(number)
        weights = self.circuit.weight[members]
        dense = self.kind[number] == _DENSE  # mixtures keep the order of their operands
        columns = columns_of(self.vectors, number) if dense else []
        key = np.concatenate([weights, *columns]).tobytes() if self.shared[weights].any() else b""
        if key and key in self.known:
            return self.known[key]
        made = len(self.circuit.weights) + len(self.tables)
        if key:
            self.known[key] = made
        self.tables.append(self.table(weights.tolist(), columns))
        self.shapes.append((int(self.units[number]), int(self.columns[weights[0]])))
        return made

    def table(self, weights: list[int], columns: list[Int]) -> Float | None:
        """Given values, if there are any."""
        values = self.circuit.weights.values
        if weights[0] not in values:
            return None
        rows = [values[weight] for weight in weights]
        if columns:
            rows = [row[:, order] for row, order in zip(rows, columns, strict=True)]
        return np.concatenate(rows)

    def edges(self) -> tuple[Int, Int]:
        """The operands of each class, vectors only once, in the order of the first member's."""
        circuit, vectors = self.circuit, self.vectors
        lengths = circuit.fan_in[self.first]
        below = vectors.of[circuit.operands[circuit.edges_of(self.first)]]
        owner = np.repeat(np.arange(len(self.first)), lengths)
        whole = vectors.sizes[below] > 1
        order = np.lexsort([np.arange(len(below)), below, owner])
        again = np.zeros(len(below), np.bool_)
        again[order[1:]] = (np.diff(owner[order]) == 0) & (np.diff(below[order]) == 0)
        keep = ~(again & whole)
        return segments(np.bincount(owner[keep], minlength=len(lengths))), below[keep]

    def renumbered(self) -> dict[str, Int | WeightTable]:
        """The weights in use, renumbered by first use, and their table."""
        old = self.circuit.weights
        used = first_uses(self.weight[self.weight >= 0])
        shapes = np.array(self.shapes, np.int64).reshape(-1, 2)
        new_id = np.full(len(old) + len(shapes) + 1, -1)
        new_id[used] = np.arange(len(used))
        tables = [
            old.values.get(w) if w < len(old) else self.tables[w - len(old)] for w in used.tolist()
        ]
        table = WeightTable(
            np.concatenate([old.rows, shapes[:, 0]])[used],
            np.concatenate([old.columns, shapes[:, 1]])[used],
            {int(new_id[w]): name for w, name in old.names.items() if new_id[w] >= 0},
            {number: values for number, values in enumerate(tables) if values is not None},
        )
        return {"weight": new_id[self.weight], "weights": table}
