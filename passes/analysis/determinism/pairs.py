"""Whether two gates can be true together, by recursion on both (with an explicit stack).

Two products are disjoint if two of their operands are; a sum is disjoint from a gate if all its
operands are. On circuits structured by one vtree this decides the question, since products split
alike there; primes of PSDDs and SDDs are an example. Elsewhere it may fail to prove disjointness.

Source:
    Pipatsrisawat and Darwiche (2008), "New Compilation Languages Based on Structured
    Decomposability"; Kisa et al. (2014), "Probabilistic Sentential Decision Diagrams".
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Int
from pccompiler.ir.scopes import Words
from pccompiler.passes.analysis.determinism.gates import AND, LEAF, OR, Gates
from pccompiler.passes.analysis.determinism.worlds import Evaluator, planes, telling

Bool = NDArray[np.bool_]
Pair = tuple[int, int]
_MOST_MASK_WORDS = 8_000_000


class OutOfBudgetError(Exception):
    """Raised when more pairs would have to be compared than allowed."""


class Pairs:
    """Compares pairs of gates and remembers the answers.

    Args:
        gates: Gates of a circuit, preferably only those needed.
        scopes: The circuit's scope table.
        budget: The most pairs to compare.
    """

    def __init__(self, gates: Gates, scopes: Words, budget: int) -> None:
        self.gates = gates
        self.budget = budget
        self.known: dict[Pair, bool] = {}
        self.kind: list[int] = gates.kind.tolist()
        used, inverse = np.unique(gates.scope, return_inverse=True)
        bits = [int.from_bytes(scopes[row].tobytes(), "little") for row in used.tolist()]
        self.scope: list[int] = [bits[i] for i in inverse.tolist()]
        flat, cuts = gates.operands.tolist(), gates.pointer.tolist()
        self.operands: list[list[int]] = [flat[i:j] for i, j in pairwise(cuts)]
        self.masks, self.full = _masks(gates)

    def apart(self, a: int, b: int) -> bool:
        """Whether it is proven that no world makes both true.

        Raises:
            OutOfBudgetError: If the budget of pairs runs out.
        """
        answer = self._at_once(a, b)
        if answer is not None:
            return answer
        stack: list[tuple[Pair, bool, Iterator[Pair]]] = [((a, b), *self._parts(a, b))]
        result: bool | None = None
        while stack:
            pair, every, parts = stack[-1]
            if result is not None and result != every:  # decides the pair
                answer = result
            else:
                child = next(parts, None)
                answer = every if child is None else None
                if child is not None:
                    result = self._at_once(*child)
                    if result is None:
                        stack.append((child, *self._parts(*child)))
                    continue
            stack.pop()
            result = answer
            self._note(pair, bool(answer))
        return bool(result)

    def _note(self, pair: Pair, answer: bool) -> None:
        self.known[min(pair), max(pair)] = answer

    def _at_once(self, a: int, b: int) -> bool | None:
        """The answer, if it is known without looking further down."""
        if a == b:
            return False
        key = (a, b) if a < b else (b, a)
        if key in self.known:
            return self.known[key]
        self.budget -= 1
        if self.budget < 0:
            raise OutOfBudgetError
        if not self.scope[a] & self.scope[b]:
            return False
        if self.masks and self._masked(a, b):
            self.known[key] = True
            return True
        if self.kind[a] == LEAF and self.kind[b] == LEAF:
            return not self.common(a, b).any()
        return None

    def _masked(self, a: int, b: int) -> bool:
        """Whether a single variable separates both."""
        both = 0
        for one, other in zip(self.masks[a], self.masks[b], strict=True):
            both |= one & other
        return both != self.full

    def common(self, a: int, b: int) -> Bool:
        """The classes that two leaves over one variable share."""
        members, leaf_set = self.gates.sets.members, self.gates.leaf_set
        return np.asarray(members[leaf_set[a]] & members[leaf_set[b]])

    def _parts(self, a: int, b: int) -> tuple[bool, Iterator[Pair]]:
        """Pairs further down, and whether all of them must be disjoint or only one."""
        if self.kind[a] == AND and self.kind[b] == AND:
            return False, self._crossing(a, b)
        a, b = self.opened(a, b)
        if self.kind[a] == OR:
            return True, ((x, b) for x in self.operands[a])
        return False, ((x, b) for x in self.operands[a] if self.scope[x] & self.scope[b])

    def opened(self, a: int, b: int) -> Pair:
        """Both gates, the one to expand first: an OR, unless the other has more variables."""

        def rank(gate: int) -> tuple[bool, int, bool, int]:
            size, kind = self.scope[gate].bit_count(), self.kind[gate]
            return kind != LEAF, size, kind == OR, -len(self.operands[gate])

        return (a, b) if rank(a) >= rank(b) else (b, a)

    def _crossing(self, a: int, b: int) -> Iterator[Pair]:
        for x in self.operands[a]:
            for y in self.operands[b]:
                if self.scope[x] & self.scope[y]:
                    yield x, y

    def undecided(self, gate: int) -> Pair | None:
        """Two operands of an OR that are not proven disjoint, if there are any."""
        operands = self.operands[gate]
        for place, b in enumerate(operands):
            for a in operands[:place]:
                if not self.apart(a, b):
                    return a, b
        return None

    def together(self, a: int, b: int, rng: np.random.Generator) -> dict[int, Bool] | None:
        """Sets of classes, by variable, of worlds that may make both true; ``None`` if it fails.

        Follows pairs that are not proven disjoint. Exact where products split alike, otherwise a
        guess.
        """
        allowed: dict[int, Bool] = {}
        stack: list[tuple[int, int]] = [(a, b)]
        while stack:
            x, y = stack.pop()
            if x == y or y < 0:
                stack += self._alone(x, allowed, rng)
            elif self.kind[x] == LEAF and self.kind[y] == LEAF:
                self._allow(x, allowed)
                self._allow(y, allowed)
            else:
                more = self._descend(x, y, rng)
                if more is None:
                    return None
                stack += more
        return allowed if all(classes.any() for classes in allowed.values()) else None

    def _allow(self, leaf: int, allowed: dict[int, Bool]) -> None:
        row = int(self.gates.leaf_set[leaf])
        variable = int(self.gates.sets.variable[row])
        members = self.gates.sets.members[row]
        allowed[variable] = members & allowed.get(variable, members)

    def _alone(
        self, gate: int, allowed: dict[int, Bool], rng: np.random.Generator
    ) -> list[tuple[int, int]]:
        if self.kind[gate] == LEAF:
            self._allow(gate, allowed)
            return []
        operands = self.operands[gate]
        if self.kind[gate] == OR:
            return [(operands[int(rng.integers(len(operands)))], -1)]
        return [(x, -1) for x in operands]

    def _descend(self, a: int, b: int, rng: np.random.Generator) -> list[Pair] | None:
        if self.kind[a] == AND and self.kind[b] == AND:
            pairs = list(self._crossing(a, b))
            met = {gate for pair in pairs for gate in pair}
            return pairs + [(x, -1) for x in self.operands[a] + self.operands[b] if x not in met]
        a, b = self.opened(a, b)
        if self.kind[a] == OR:
            order = rng.permutation(len(self.operands[a])).tolist()
            chosen = (self.operands[a][i] for i in order)
            found = next((x for x in chosen if not self.apart(x, b)), None)
            return None if found is None else [(found, b)]
        parts = self.operands[a]
        crossing = [x for x in parts if self.scope[x] & self.scope[b]]
        return [(x, b) for x in crossing] + [(x, -1) for x in parts if x not in crossing]


def _masks(gates: Gates) -> tuple[list[tuple[int, ...]], int]:
    """For each gate and class, the variables that allow it, as a bit set; and all variables."""
    variables: Int = telling(gates)
    if not len(variables):
        return [], 0
    blocks = [variables[i : i + 64] for i in range(0, len(variables), 64)]
    most = gates.sets.members.shape[1]
    if len(gates) * most * len(blocks) > _MOST_MASK_WORDS:
        return [], 0
    table = np.zeros((len(gates), most, len(blocks)), np.uint64)
    evaluator = Evaluator.of(gates)
    for place, block in enumerate(blocks):
        truth, _ = planes(evaluator, block)
        table[:, : truth.shape[1], place] = truth
    size = 8 * len(blocks)
    raw = np.ascontiguousarray(table).tobytes()
    numbers = [int.from_bytes(raw[i : i + size], "little") for i in range(0, len(raw), size)]
    masks = [tuple(numbers[i : i + most]) for i in range(0, len(numbers), most)]
    return masks, (1 << len(variables)) - 1
