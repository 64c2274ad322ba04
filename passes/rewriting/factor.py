"""The factors of a product, as plain lists that can grow by partial products."""

from __future__ import annotations

from abc import ABC, abstractmethod
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
from pccompiler.passes.check.rule import scope
from pccompiler.passes.rewriting.leaf_products import LeafProduct, given, leaf_product


class Factor(ABC):
    """Something to multiply, node by node, with scopes as bit sets over the result's variables.

    Attributes:
        kinds: Kind of each node.
        units: Width of each node.
        operands: Operands of each node.
        scopes: Scope of each node.
    """

    def __init__(self) -> None:
        self.kinds: list[int] = []
        self.units: list[int] = []
        self.operands: list[list[int]] = []
        self.scopes: list[int] = []
        self._parts: dict[tuple[int, ...], int] = {}

    @abstractmethod
    def terms(self, node: int) -> list[tuple[int, Float]]:
        """``node`` as a weighted sum: operands, and weights of shape (units, operand units).

        Operands of weight zero are left out. Any other node counts as a sum of itself alone.
        """

    @abstractmethod
    def leaf(self, left: Circuit, a: int, node: int) -> LeafProduct:
        """The product of input ``a`` of ``left`` and input ``node``, over one variable."""

    @abstractmethod
    def label(self, node: int) -> str:
        """A node in messages."""

    def source(self, node: int) -> tuple[Float | None, int]:
        """The values and the family of a node over variables that the other factor lacks."""
        return None, -1

    def split_as(self, node: int, scopes: Sequence[int]) -> int:
        """The node to multiply by a product whose operands have these scopes: by default itself."""
        return node

    def note(self, node: int) -> str | None:
        """The scope of a node in words, for messages about products that cannot be multiplied."""
        return None

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

    def places(self, node: int, operands: Sequence[int]) -> Int:
        """For each unit of ``node``, the unit of ``part(node, operands)`` that it reads."""
        kind, mine = self.kinds[node], self.operands[node]
        if kind == Kind.PRODUCT or kind not in PRODUCTS:
            return np.arange(self.units[node])
        places = PRODUCTS[kind].places([self.units[j] for j in mine])
        chosen = tuple(places[:, mine.index(j)] for j in operands)
        return np.asarray(np.ravel_multi_index(chosen, [self.units[j] for j in operands]))

    def is_sum(self, node: int) -> bool:
        """Whether ``node`` is a dense sum or a mixture."""
        return self.kinds[node] in SUMS


class Side(Factor):
    """A circuit to multiply.

    Args:
        circuit: The factor.
        places: For each variable of the factor, the variable of the result.
    """

    def __init__(self, circuit: Circuit, places: Int) -> None:
        super().__init__()
        self.circuit = circuit
        self.kinds = circuit.kind.tolist()
        self.units = circuit.units.tolist()
        cuts = circuit.pointer.tolist()
        flat = circuit.operands.tolist()
        self.operands = [flat[i:j] for i, j in pairwise(cuts)]
        table = [sum(1 << int(p) for p in places[members(row)]) for row in circuit.scopes.table]
        self.scopes = [table[i] for i in circuit.scopes.index.tolist()]

    def own(self, node: int) -> int:
        """``node`` itself if the circuit has it, else the first operand of the partial product."""
        return node if node < self.circuit.num_nodes else self.operands[node][0]

    def leaf(self, left: Circuit, a: int, node: int) -> LeafProduct:
        """See `leaf_product`."""
        return leaf_product(left, a, self.circuit, node)

    def label(self, node: int) -> str:
        """The label of the node, or of the first operand of a partial product."""
        return self.circuit.label(self.own(node))

    def note(self, node: int) -> str | None:
        """The scope of a node of the circuit; partial products have no label."""
        if node >= self.circuit.num_nodes:
            return None
        return f"{self.circuit.label(node)} has scope {scope(self.circuit, node)}"

    def source(self, node: int) -> tuple[Float | None, int]:
        """The given values and the family of a node of the circuit."""
        if node >= self.circuit.num_nodes:
            return None, -1
        table = given(self.circuit, node) if self.circuit.weight[node] >= 0 else None
        return table, int(self.circuit.family[node])

    def terms(self, node: int) -> list[tuple[int, Float]]:
        """See `Factor.terms`."""
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
    """Group positions whose scopes overlap, directly or through others, as (lefts, rights).

    Args:
        left: Scopes that are disjoint.
        right: Likewise.
    """
    merged: list[tuple[int, list[int], list[int]]] = [(s, [i], []) for i, s in enumerate(left)]
    for j, own in enumerate(right):
        scope, lefts, rights = own, list[int](), [j]
        apart: list[tuple[int, list[int], list[int]]] = []
        for group in merged:
            if group[0] & own:
                scope, lefts, rights = scope | group[0], group[1] + lefts, group[2] + rights
            else:
                apart.append(group)
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
