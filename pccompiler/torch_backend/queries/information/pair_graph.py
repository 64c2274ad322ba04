"""The pairs of units from two models that a query over both needs, level by level; NumPy only.

A pair of units, one from each model and over the same variables (or over some of the first one's,
the others of which are summed out), needs other pairs: a sum of the
first model, those of its operands with the second unit; a sum of the second likewise; two products,
those of their parts. Each pair occurs once, so their number is at most the product of both sizes.

Source:
    Vergari et al. (2021), "A Compositional Atlas of Tractable Circuit Operations", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pccompiler.errors import CircuitError
from pccompiler.ir.arrays import Int
from pccompiler.passes.rewriting.factor import groups
from pccompiler.torch_backend.queries.information.factor import LEAF, PRODUCT, SUM, Side

Pair = tuple[int, int]
_MANY = 32
"""With more missing parts, all parts of a product are settled at once."""


@dataclass(frozen=True, eq=False)
class Level:
    """Pairs of one level; pairs of the same kind are consecutive, leaves first.

    Attributes:
        leaves: Shape (leaf pairs, 2), units.
        products: Number of product pairs; ``product`` has the number of the pair of each operand.
        product: Shape (edges,).
        product_operand: Shape (edges,), numbers of pairs.
        sums: Number of sum pairs, after the products.
        sum: Shape (edges,).
        operand: Shape (edges,), numbers of pairs.
        left: Shape (edges,), the position of the first model's weight, or -1.
        right: Shape (edges,), likewise for the second model.
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
    """The pairs found so far.

    Args:
        left: The first model.
        right: The second.
        names: Variables by bit.
        most_pairs: The most pairs.
    """

    left: Side
    right: Side
    names: list[str]
    most_pairs: int
    known: dict[Pair, tuple[int, list[Pair]]] = field(
        default_factory=dict[Pair, "tuple[int, list[Pair]]"]
    )
    empty: set[Pair] = field(default_factory=set[Pair])
    """Pairs that are positive together in no world; sums leave them out."""

    def run(self, root: Pair) -> tuple[list[Level], Int] | None:
        """All pairs that the root needs, and the first number of each level.

        ``None`` if no world is positive in both.
        """
        stack = [root]
        pending: dict[Pair, list[Pair]] = {}
        while stack:
            pair = stack[-1]
            if pair in self.known or pair in self.empty:
                stack.pop()
                continue
            if pair not in pending:
                pending[pair] = self.needs(pair)
            missing = self._missing(pair, pending[pair])
            if missing:
                stack += missing
                continue
            self._settle(pair, pending.pop(pair))
            stack.pop()
        return None if root in self.empty else self._levels()

    def _missing(self, pair: Pair, needs: list[Pair]) -> list[Pair]:
        """Pairs to be settled before this one; none if it is known to be empty."""
        if self.kind(pair) != PRODUCT:
            return [n for n in needs if n not in self.known and n not in self.empty]
        if any(need in self.empty for need in needs):
            return []
        missing = [need for need in needs if need not in self.known]
        return missing if len(missing) > _MANY else missing[:1]  # the next may not be needed

    def _settle(self, pair: Pair, needs: list[Pair]) -> None:
        """Determine the level of a pair, or that no world is positive in both."""
        kind = self.kind(pair)
        left = needs if not self.empty else [need for need in needs if need not in self.empty]
        if kind == LEAF:
            empty = not self.left.supports[pair[0]] & self.right.supports[pair[1]]
        else:
            empty = len(left) < len(needs) if kind == PRODUCT else not left
        if empty:
            self.empty.add(pair)
        else:
            self.known[pair] = 1 + max([self.known[need][0] for need in left], default=-1), needs
        if len(self.known) + len(self.empty) > self.most_pairs:
            raise self._too_many()

    def needs(self, pair: Pair) -> list[Pair]:
        """The pairs that this one is computed from."""
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
            if not other:  # the second model lacks these variables: the part integrates to 1
                continue
            if len(chosen) > 1 and len(other) > 1:
                raise self._crossing(a, b, chosen, other)
            found.append((self.left.part(a, chosen), self.right.part(b, other)))
        return found

    def kind(self, pair: Pair) -> int:
        """Whether a pair is computed as a leaf, a product or a sum."""
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
            needs = [number.get(need, -1) for need in self.known[pair][1]]
            if self.left.kinds[pair[0]] == SUM:
                places = self.left.places[pair[0]]
                sums += [(i, n, place, -1) for n, place in zip(needs, places, strict=True)]
            else:
                places = self.right.places[pair[1]]
                sums += [(i, n, -1, place) for n, place in zip(needs, places, strict=True)]
        pairs = np.array(products, np.int64).reshape(-1, 2)
        edges = np.array(sums, np.int64).reshape(-1, 4)
        edges = edges[edges[:, 1] >= 0]
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
            help="use smaller circuits, or raise most_pairs",
        )

    def _crossing(self, a: int, b: int, chosen: list[int], other: list[int]) -> CircuitError:
        """The error for two products that split their variables in crossing ways."""

        def lines(side: Side, units: list[int]) -> list[str]:
            return [
                f"{side.describe(u)} has scope {side.scope_names(u, self.names)}" for u in units
            ]

        return CircuitError.of(
            "PC423",
            f"the circuits are not compatible: products {self.left.describe(a)} of the first and "
            f"{self.right.describe(b)} of the second split their variables in crossing ways",
            notes=lines(self.left, chosen) + lines(self.right, other),
            help="use circuits over one region tree, such as two of one structure",
        )
