"""One factor of a product of circuits, as plain lists that can grow by partial products."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from itertools import product as combinations

import numpy as np

from pccompiler.ir import Circuit, Kind, Variable, WeightTable
from pccompiler.ir.arrays import Float, Int, segments
from pccompiler.ir.circuit import select
from pccompiler.ir.kinds import PRODUCTS, SUMS
from pccompiler.ir.scopes import members
from pccompiler.ir.topology import reachable
from pccompiler.passes.rewriting.leaf_products import given


class Side:
    """A circuit to multiply, with scopes as bit sets over the variables of the result.

    Args:
        circuit: The factor.
        places: For each variable of the factor, the variable of the result.
    """

    def __init__(self, circuit: Circuit, places: Int) -> None:
        self.circuit = circuit
        self.kinds: list[int] = circuit.kind.tolist()
        self.units: list[int] = circuit.units.tolist()
        cuts = circuit.pointer.tolist()
        flat = circuit.operands.tolist()
        self.operands: list[list[int]] = [flat[i:j] for i, j in pairwise(cuts)]
        table = [sum(1 << int(p) for p in places[members(row)]) for row in circuit.scopes.table]
        self.scopes: list[int] = [table[i] for i in circuit.scopes.index.tolist()]
        self._parts: dict[tuple[int, ...], int] = {}

    def part(self, node: int, operands: Sequence[int]) -> int:
        """The product of some operands of product ``node``; a single operand stays itself.

        It is elementwise if ``node`` is, else has all combinations of units.
        """
        if len(operands) == 1:
            return operands[0]
        kind = Kind.PRODUCT if self.kinds[node] == Kind.PRODUCT else Kind.KRONECKER
        key = (kind, *operands)
        if key not in self._parts:
            self._parts[key] = len(self.kinds)
            self.kinds.append(kind)
            self.units.append(PRODUCTS[kind].width([self.units[j] for j in operands]))
            self.operands.append(list(operands))
            self.scopes.append(sum(self.scopes[j] for j in operands))
        return self._parts[key]

    def factors(self, node: int) -> list[int]:
        """The operands of a product; for any other node, the node itself."""
        return self.operands[node] if self.kinds[node] in PRODUCTS else [node]

    def own(self, node: int) -> int:
        """``node`` itself if the circuit has it, else the first operand of the partial product."""
        return node if node < self.circuit.num_nodes else self.operands[node][0]

    def places(self, node: int, operands: Sequence[int]) -> Int:
        """For each unit of ``node``, the unit of ``part(node, operands)`` that it reads."""
        kind, mine = self.kinds[node], self.operands[node]
        if kind == Kind.PRODUCT:
            return np.arange(self.units[node])
        places = PRODUCTS[kind].places([self.units[j] for j in mine])
        chosen = tuple(places[:, mine.index(j)] for j in operands)
        return np.asarray(np.ravel_multi_index(chosen, [self.units[j] for j in operands]))

    def is_sum(self, node: int) -> bool:
        """Whether ``node`` is a dense sum or a mixture."""
        return self.kinds[node] in SUMS

    def terms(self, node: int) -> list[tuple[int, Float]]:
        """``node`` as a weighted sum: operands, and weights of shape (units, operand units).

        Operands of weight zero are left out. Any other node counts as a sum of itself alone.
        """
        if not self.is_sum(node):
            return [(node, np.eye(self.units[node]))]
        table = given(self.circuit, node)
        result: list[tuple[int, Float]] = []
        start = 0
        for place, operand in enumerate(self.operands[node]):
            if self.kinds[node] == Kind.MIXTURE:
                block = np.diag(table[:, place])
            else:
                block = table[:, start : start + self.units[operand]]
                start += self.units[operand]
            if block.any():
                result.append((operand, block))
        return result


def groups(left: list[int], right: list[int]) -> list[tuple[list[int], list[int]]]:
    """Group positions whose scopes overlap, directly or through others, as (lefts, rights)."""
    merged: list[tuple[int, list[int], list[int]]] = []
    sides: list[tuple[int, list[int], list[int]]]
    sides = [(scope, [i], []) for i, scope in enumerate(left)]
    sides += [(scope, [], [j]) for j, scope in enumerate(right)]
    for scope, lefts, rights in sides:
        apart = [group for group in merged if not group[0] & scope]
        for known, more_left, more_right in merged:
            if known & scope:
                scope, lefts, rights = scope | known, more_left + lefts, more_right + rights
        merged = [*apart, (scope, lefts, rights)]
    return [(lefts, rights) for _, lefts, rights in merged]


def unit_pairs(left: int, right: int) -> Int:
    """All pairs of units, the right one varying fastest; shape (2, left * right)."""
    return np.array(list(combinations(range(left), range(right))), np.int64).reshape(-1, 2).T


def assemble(
    nodes: list[tuple[int, int, int, int, int]],
    operands: list[list[int]],
    tables: list[Float],
    constants: dict[int, Float],
    root: int,
    variables: tuple[Variable, ...],
) -> tuple[Circuit, Float]:
    """The circuit that the root depends on, and the log-constants of its units.

    Args:
        nodes: Kind, units, index in ``tables``, family and variable of each node.
        operands: Operands of each node, which come before it.
        tables: Values of weights.
        constants: Node to log-constants of its units, for some inputs.
        root: The node that becomes the root.
        variables: Variables of the circuit.
    """
    columns = np.array(nodes, np.int64)
    shapes = np.array([table.shape for table in tables], np.int64).reshape(-1, 2)
    whole = Circuit(
        variables=variables,
        kind=columns[:, 0],
        units=columns[:, 1],
        pointer=segments(np.array([len(row) for row in operands], np.int64)),
        operands=np.array([j for row in operands for j in row], np.int64),
        family=columns[:, 3],
        variable=columns[:, 4],
        weight=columns[:, 2],
        root=root,
        weights=WeightTable(shapes[:, 0], shapes[:, 1], {}, dict(enumerate(tables))),
    )
    keep = reachable(whole)
    circuit = select(whole, keep)
    leaves = np.zeros(int(circuit.units.sum()))
    starts = segments(circuit.units)[np.cumsum(keep) - 1]  # by the old id
    for node, logs in constants.items():
        if keep[node]:
            leaves[starts[node] : starts[node] + len(logs)] = logs
    return circuit, leaves
