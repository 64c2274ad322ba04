"""Multiplies two factors pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.ir import Circuit, Kind, Variable
from pccompiler.ir.arrays import Float, Int
from pccompiler.ir.kinds import PRODUCTS
from pccompiler.ir.sizes import number
from pccompiler.passes.rewriting.constants import normalize
from pccompiler.passes.rewriting.factor import Factor, Side, assemble, groups, unit_pairs

ZERO = -1
"""The id of a function that is 0 everywhere; it is never a node."""
ABSENT = -1
"""In a pair, stands for a missing factor: the part of the result depends on the other only."""
MOST_NODES = 2_000_000
MOST_WEIGHTS = 2**29
"""The most weights of a product, all nodes together: 4 GiB."""
Pair = tuple[int, int]


def product(
    left: Circuit, right: Factor, root: int, variables: tuple[Variable, ...], most_nodes: int
) -> Circuit:
    """The product of a circuit and a factor with this root, but not the scale of the factor."""
    work = Pairwise(Side(left, np.arange(len(left.variables))), right, most_nodes)
    root = work.run((left.root, root))
    if root == ZERO:
        raise CircuitError.of(
            "PC140",
            "the product is 0 everywhere: no world has a positive value in both circuits",
            help="multiply circuits whose supports overlap",
        )
    circuit, leaves = assemble(
        work.nodes, work.operands, work.tables, work.constants, root, variables
    )
    scaled = normalize(circuit, leaves)
    return scaled.replace(log_scale=scaled.log_scale + left.log_scale)


@dataclass
class Pairwise:
    """The nodes of the result so far; each pair of nodes is multiplied once."""

    left: Side
    right: Factor
    most_nodes: int
    known: dict[Pair, int] = field(default_factory=dict[Pair, int])
    nodes: list[tuple[int, int, int, int, int]] = field(
        default_factory=list[tuple[int, int, int, int, int]]
    )
    operands: list[list[int]] = field(default_factory=list[list[int]])
    counted: set[Pair] = field(default_factory=set[Pair])
    tables: list[Float] = field(default_factory=list[Float])
    constants: dict[int, Float] = field(default_factory=dict[int, Float])
    weights: int = 0

    def run(self, root: Pair) -> int:
        """Multiply what the root pair needs, operands first, without recursion."""
        stack = [root]
        pending: dict[Pair, list[Pair]] = {}
        while stack:
            pair = stack[-1]
            if pair in self.known:
                stack.pop()
                continue
            if pair not in pending:
                pending[pair] = self.needs(pair)
            missing = [need for need in pending[pair] if need not in self.known]
            if missing:
                stack += missing
            else:
                self.known[pair] = self.make(pair)
                del pending[stack.pop()]
        return self.known[root]

    def split(self, pair: Pair) -> Pair:
        """The pair with its second node in the form that fits the first, if that is a product."""
        a, b = pair
        if ABSENT in pair or self.left.kinds[a] not in PRODUCTS:
            return pair
        return a, self.right.split_as(b, [self.left.scopes[i] for i in self.left.factors(a)])

    def needs(self, pair: Pair) -> list[Pair]:
        """The pairs whose products the product of this one is built from."""
        a, b = pair = self.split(pair)
        if ABSENT in pair:
            side, node = (self.right, b) if a == ABSENT else (self.left, a)
            return [(ABSENT, j) if a == ABSENT else (j, ABSENT) for j in side.operands[node]]
        if self.left.is_sum(a) or self.right.is_sum(b):
            return [(i, j) for i, _ in self.left.terms(a) for j, _ in self.right.terms(b)]
        if not self.left.operands[a] and not self.right.operands[b]:
            return [] if self.left.scopes[a] & self.right.scopes[b] else [(a, ABSENT), (ABSENT, b)]
        return [part for part, _ in self.factors(pair)]

    def make(self, pair: Pair) -> int:
        """The product of a pair, given the products that it needs."""
        a, b = pair = self.split(pair)
        if ABSENT in pair:
            return self.copy(pair)
        if self.left.is_sum(a) or self.right.is_sum(b):
            return self.sum(pair)
        inputs = not self.left.operands[a] and not self.right.operands[b]
        if inputs and self.left.scopes[a] & self.right.scopes[b]:
            return self.leaf(pair)
        return self.product(pair)

    def add(
        self,
        kind: int,
        units: int,
        operands: Sequence[int],
        table: Float | None = None,
        family: int = -1,
        variable: int = -1,
    ) -> int:
        """Add a node to the result; returns its id."""
        if len(self.nodes) >= self.most_nodes:
            raise CircuitError.of(
                "PC160",
                f"the product has more than {self.most_nodes:,} nodes",
                help="multiply smaller circuits, or raise most_nodes",
            )
        weight = -1 if table is None else len(self.tables)
        if table is not None:
            self.tables.append(table)
        self.nodes.append((kind, units, weight, family, variable))
        self.operands.append(list(operands))
        return len(self.nodes) - 1

    def afford(self, weights: int, pair: Pair) -> None:
        """Count ``weights`` more weights (or units); refuse more than fit into memory."""
        self.weights += weights
        if self.weights > MOST_WEIGHTS:
            left, right = self.left.label(pair[0]), self.right.label(pair[1])
            raise CircuitError.of(
                "PC160",
                f"the product has more than {MOST_WEIGHTS:,} weights: {left} times "
                f"{right} needs {number(weights)}",
                location=self.left.circuit.where(self.left.own(pair[0])),
                help="multiply circuits with fewer units per node",
            )

    def copy(self, pair: Pair) -> int:
        """Copy a node that only one factor has."""
        side: Factor = self.right if pair[0] == ABSENT else self.left
        node = max(pair)
        kind, (table, family) = side.kinds[node], side.source(node)
        return self.add(
            kind,
            side.units[node],
            [self.known[need] for need in self.needs(pair)],
            table,
            family,
            side.scopes[node].bit_length() - 1 if kind == Kind.INPUT else -1,
        )

    def leaf(self, pair: Pair) -> int:
        """The product of two inputs over one variable."""
        found = self.right.leaf(self.left.circuit, *pair)
        if (found.constants == -np.inf).all():
            return ZERO
        variable = self.left.scopes[pair[0]].bit_length() - 1
        units = len(found.table)
        node = self.add(Kind.INPUT, units, (), found.table, found.family, variable)
        self.constants[node] = found.constants
        return node

    def sum(self, pair: Pair) -> int:
        """Multiply every operand of one by every operand of the other, and so their weights."""
        parts: list[int] = []
        blocks: list[Float] = []
        units = self.left.units[pair[0]] * self.right.units[pair[1]]
        for i, x in self.left.terms(pair[0]):
            for j, y in self.right.terms(pair[1]):
                if self.known[i, j] != ZERO:
                    self.afford(units * x.shape[1] * y.shape[1], pair)
                    parts.append(self.known[i, j])
                    blocks.append(np.asarray(np.kron(x, y), np.float64))
        if not parts:
            return ZERO
        return self.add(Kind.SUM, units, parts, np.concatenate(blocks, axis=1))

    def factors(self, pair: Pair) -> list[tuple[Pair, Int]]:
        """Parts with disjoint scopes, and for each unit of the product the unit of the part."""
        a, b = pair
        mine, others = self.left.factors(a), self.right.factors(b)
        scopes = [self.left.scopes[i] for i in mine], [self.right.scopes[j] for j in others]
        if pair not in self.counted:
            self.counted.add(pair)
            self.afford(self.left.units[a] * self.right.units[b], pair)
        units = unit_pairs(self.left.units[a], self.right.units[b])
        result: list[tuple[Pair, Int]] = []
        for lefts, rights in groups(*scopes):
            chosen, other = [mine[i] for i in lefts], [others[j] for j in rights]
            if len(chosen) > 1 and len(other) > 1:
                raise self.incompatible(a, b, chosen, other)
            place = np.zeros(units.shape[1], np.int64)
            if chosen:
                place = self.left.places(a, chosen)[units[0]]
            if other:
                part = self.right.part(b, other)
                place = place * self.right.units[part] + self.right.places(b, other)[units[1]]
            x = self.left.part(a, chosen) if chosen else ABSENT
            y = self.right.part(b, other) if other else ABSENT
            result.append(((x, y), place))
        return result

    def product(self, pair: Pair) -> int:
        """The product of the parts: elementwise if units pair up, else selected from all pairs."""
        found = self.factors(pair)
        nodes = [self.known[part] for part, _ in found]
        if ZERO in nodes:
            return ZERO
        places = [place for _, place in found]
        widths = [self.nodes[node][1] for node in nodes]
        total = len(places[0])
        order = np.arange(total)
        aligned = [
            width == total and np.array_equal(place, order)
            for width, place in zip(widths, places, strict=True)
        ]
        if all(aligned):
            return nodes[0] if len(nodes) == 1 else self.add(Kind.PRODUCT, total, nodes)
        whole = prod(widths)
        self.afford(whole, pair)
        index = np.ravel_multi_index(places, widths)
        grid = nodes[0] if len(nodes) == 1 else self.add(Kind.KRONECKER, whole, nodes)
        if len(index) == whole and np.array_equal(index, order):
            return grid
        self.afford(total * whole, pair)
        table = np.zeros((total, whole))
        table[order, index] = 1.0
        return self.add(Kind.SUM, total, [grid], table)

    def incompatible(self, a: int, b: int, chosen: list[int], other: list[int]) -> CircuitError:
        """The error about two products that cannot be multiplied."""
        notes = [self.left.note(n) for n in chosen] + [self.right.note(n) for n in other]
        return CircuitError.of(
            "PC161",
            f"products {self.left.label(a)} and {self.right.label(b)} "
            "split their variables in incompatible ways",
            location=self.left.circuit.where(self.left.own(a)),
            notes=[note for note in notes if note is not None],
            help="multiply compatible circuits: two of the same structure and region tree, or a "
            "formula compiled for the other's vtree ('pccompiler properties' shows it); "
            "model.condition_on(formula) also takes any formula over a few variables",
        )
