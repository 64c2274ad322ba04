"""The pairs of units of two models that a query over both needs, level by level; NumPy only.

A pair of units, one of each model and over the same variables, needs other pairs: a sum of the
first those of its operands with the second; a sum of the second likewise; two products those of
their parts. Each pair occurs once, so there are at most as many as the product of both sizes.

Source:
    Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.ir.arrays import Int
from pccompiler.ir.circuit import Float
from pccompiler.passes.product_sides import groups
from pccompiler.torch_backend.program import BagStep, DenseStep, ProductStep

if TYPE_CHECKING:
    from pccompiler.torch_backend.evaluator import Evaluator

LEAF, PRODUCT, SUM = 0, 1, 2
Pair = tuple[int, int]


class Side:
    """A model unit by unit: arena rows, and products of some operands that pairs make.

    Args:
        model: Compiled.
        bits: Column of the model to bit of a scope.
        weights: Values of all weights, in the order of `flat_weights`; edges of weight 0 are left
            out.
    """

    def __init__(self, model: Evaluator, bits: list[int], weights: Float) -> None:
        self.model = model
        self.kinds: list[int] = []
        self.operands: list[list[int]] = []
        self.places: list[list[int]] = []
        """Of sums: where the weight of each operand lies."""
        self.scopes: list[int] = []
        self.origin: list[int] = []
        self._parts: dict[tuple[int, ...], int] = {}
        self._weights = weights
        self._dense = model.program.edges
        for step in model.program.steps:
            if isinstance(step, ProductStep):
                self._products(step)
            elif isinstance(step, BagStep):
                self._bags(step)
            elif isinstance(step, DenseStep):
                self._sums(step)
            else:
                layer = model.plan.layers[step.number]
                variables = [] if layer.variables is None else layer.variables.tolist()
                for variable in variables:
                    for _ in range(layer.units):
                        self._add(LEAF, [], [], 1 << bits[variable])

    def _add(self, kind: int, operands: list[int], places: list[int], scope: int) -> int:
        self.kinds.append(kind)
        self.operands.append(operands)
        self.places.append(places)
        self.scopes.append(scope)
        self.origin.append(len(self.origin))
        return len(self.kinds) - 1

    def _products(self, step: ProductStep) -> None:
        for _, factors in step.parts:
            table = np.stack([factor.cpu().numpy() for factor in factors], axis=1)
            for operands in table.tolist():
                scope = 0
                for operand in operands:
                    scope |= self.scopes[operand]
                self._add(PRODUCT, operands, [], scope)

    def _bags(self, step: BagStep) -> None:
        source, cuts = step.source.cpu().numpy(), step.pointer.cpu().tolist()
        for start, stop in pairwise(cuts):
            self._sum(source[start:stop], np.arange(start, stop) + step.first_edge)

    def _sums(self, step: DenseStep) -> None:
        source = step.source.cpu().numpy().reshape(step.rows, step.fan_in)
        for number in range(step.stop - step.start):
            row = number // ((step.stop - step.start) // step.rows)
            self._sum(source[row], self._dense + np.arange(step.fan_in))
            self._dense += step.fan_in

    def _sum(self, source: Int, places: Int) -> None:
        kept = self._weights[places] > 0.0
        operands = source[kept].tolist()
        self._add(SUM, operands, places[kept].tolist(), self.scopes[int(source[0])])

    def factors(self, unit: int) -> list[int]:
        """The operands of a product; of a leaf, itself."""
        return self.operands[unit] if self.kinds[unit] == PRODUCT else [unit]

    def part(self, unit: int, operands: list[int]) -> int:
        """The product of some operands of product ``unit``, or the only one itself."""
        if len(operands) == 1:
            return operands[0]
        key = tuple(operands)
        if key not in self._parts:
            scope = 0
            for operand in operands:
                scope |= self.scopes[operand]
            self._parts[key] = self._add(PRODUCT, operands, [], scope)
            self.origin[-1] = self.origin[unit]
        return self._parts[key]

    def describe(self, unit: int) -> str:
        """The node of a unit, for messages."""
        row = self.origin[unit]
        step = next(s for s in self.model.program.steps if row < s.stop)
        layer = self.model.plan.layers[step.number]
        node = int(layer.nodes[(row - step.start) // layer.units])
        return self.model.circuit.label(node)

    def scope_names(self, unit: int, names: list[str]) -> str:
        """The variables of a unit, the first few."""
        found = [name for i, name in enumerate(names) if self.scopes[unit] >> i & 1]
        return "{" + ", ".join(found[:8]) + (", ..." if len(found) > 8 else "") + "}"


@dataclass(frozen=True, eq=False)
class Level:
    """Pairs of one level; each kind's pairs lie side by side, leaves first.

    Attributes:
        leaves: Shape (leaf pairs, 2), units.
        products: Number of product pairs; ``product`` has the number of the pair of each operand.
        product: Shape (edges,).
        product_operand: Shape (edges,), numbers of pairs.
        sums: Number of sum pairs, after the products.
        sum: Shape (edges,).
        operand: Shape (edges,), numbers of pairs.
        left: Shape (edges,), the place of the first model's weight, or -1.
        right: Shape (edges,), of the second's.
    """

    leaves: Int
    products: int
    product: Int
    product_operand: Int
    sums: int
    sum: Int
    operand: Int
    left: Int
    right: Int


@dataclass
class PairGraph:
    """Pairs so far.

    Args:
        left: The first model.
        right: The second.
        names: Variables by bit.
        most_pairs: Refuse more.
    """

    left: Side
    right: Side
    names: list[str]
    most_pairs: int
    known: dict[Pair, tuple[int, list[Pair]]] = field(
        default_factory=dict[Pair, "tuple[int, list[Pair]]"]
    )

    def run(self, root: Pair) -> tuple[list[Level], Int]:
        """All pairs that the root needs, and the first number of each level."""
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
                    continue
            needs = pending.pop(pair)
            level = 1 + max([self.known[need][0] for need in needs], default=-1)
            self.known[pair] = level, needs
            if len(self.known) > self.most_pairs:
                raise self._too_many()
            stack.pop()
        return self._levels()

    def needs(self, pair: Pair) -> list[Pair]:
        """The pairs that this one is made of."""
        a, b = pair
        if self.left.kinds[a] == SUM:
            return [(i, b) for i in self.left.operands[a]]
        if self.right.kinds[b] == SUM:
            return [(a, j) for j in self.right.operands[b]]
        if self.left.kinds[a] == LEAF and self.right.kinds[b] == LEAF:
            return []
        mine, others = self.left.factors(a), self.right.factors(b)
        scopes = [self.left.scopes[i] for i in mine], [self.right.scopes[j] for j in others]
        found: list[Pair] = []
        for lefts, rights in groups(*scopes):
            chosen, other = [mine[i] for i in lefts], [others[j] for j in rights]
            if len(chosen) > 1 and len(other) > 1:
                raise self._crossing(a, b, chosen, other)
            found.append((self.left.part(a, chosen), self.right.part(b, other)))
        return found

    def kind(self, pair: Pair) -> int:
        """Whether a pair is made as a leaf, a product or a sum."""
        return max(self.left.kinds[pair[0]], self.right.kinds[pair[1]])

    def _levels(self) -> tuple[list[Level], Int]:
        rows: list[list[Pair]] = [[] for _ in range(1 + max(n for n, _ in self.known.values()))]
        for pair, (level, _) in self.known.items():
            rows[level].append(pair)
        number: dict[Pair, int] = {}
        starts: list[int] = []
        for row in rows:
            row.sort(key=self.kind)  # stable
            starts.append(len(number))
            number.update({pair: len(number) + i for i, pair in enumerate(row)})
        return [self._level(row, number) for row in rows], np.array(starts, np.int64)

    def _level(self, row: list[Pair], number: dict[Pair, int]) -> Level:
        by_kind: list[list[Pair]] = [[], [], []]
        for pair in row:
            by_kind[self.kind(pair)].append(pair)
        products = [
            (i, number[need])
            for i, pair in enumerate(by_kind[PRODUCT])
            for need in self.known[pair][1]
        ]
        sums: list[tuple[int, int, int, int]] = []
        for i, pair in enumerate(by_kind[SUM]):
            needs = [number[need] for need in self.known[pair][1]]
            if self.left.kinds[pair[0]] == SUM:
                places = self.left.places[pair[0]]
                sums += [(i, n, place, -1) for n, place in zip(needs, places, strict=True)]
            else:
                places = self.right.places[pair[1]]
                sums += [(i, n, -1, place) for n, place in zip(needs, places, strict=True)]
        pairs = np.array(products, np.int64).reshape(-1, 2)
        edges = np.array(sums, np.int64).reshape(-1, 4)
        leaves = np.array(by_kind[LEAF], np.int64).reshape(-1, 2)
        return Level(
            leaves,
            len(by_kind[PRODUCT]),
            pairs[:, 0],
            pairs[:, 1],
            len(by_kind[SUM]),
            edges[:, 0],
            edges[:, 1],
            edges[:, 2],
            edges[:, 3],
        )

    def _too_many(self) -> CircuitError:
        return CircuitError.of(
            "PC424",
            f"the two circuits have more than {self.most_pairs:,} pairs of units",
            help="take smaller circuits, or raise most_pairs",
        )

    def _crossing(self, a: int, b: int, chosen: list[int], other: list[int]) -> CircuitError:
        """Two products that split their variables in ways that cross."""

        def lines(side: Side, units: list[int]) -> list[str]:
            return [
                f"{side.describe(u)} has scope {side.scope_names(u, self.names)}" for u in units
            ]

        return CircuitError.of(
            "PC423",
            f"the circuits are not compatible: products {self.left.describe(a)} of the first and "
            f"{self.right.describe(b)} of the second split their variables in ways that cross",
            notes=lines(self.left, chosen) + lines(self.right, other),
            help="take circuits over one tree of regions, such as two of one structure",
        )
