"""Evaluates gates in many worlds at once, 64 worlds per word.

Three ways to fill the words decide determinism:

* *random worlds*: an OR with two operands true in one world is not deterministic;
* *all worlds of a region* (a few variables), all other leaves true: since AND and OR commute with
  "for some value of the other variables" in decomposable circuits, this is each gate's support
  projected to the region. An OR whose operands never overlap there is deterministic; one whose
  whole scope lies in the region is decided either way;
* *all single variables*, a bit each: the same with regions of one variable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir.arrays import Int
from pccompiler.ir.families.classes import classes
from pccompiler.passes.analysis.determinism.gates import AND, FALSE, OR, Gates

Bool = NDArray[np.bool_]
Words = NDArray[np.uint64]
ONES = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_MOST_BYTES = 96_000_000
"""Limit for the truth table of all gates; more worlds are processed in several rounds."""


class _Step(NamedTuple):
    """The gates of one kind and level, by decreasing fan-in."""

    kind: int
    gates: Int
    columns: list[Int]
    """Entry j: operand j of each gate with more than j operands, a prefix of ``gates``."""


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Evaluates `Gates` on words of worlds."""

    gates: Gates
    steps: tuple[_Step, ...]

    @classmethod
    def of(cls, gates: Gates) -> Evaluator:
        """Plan the evaluation of ``gates``."""
        steps = [
            _step(gates, kind, level[gates.kind[level] == kind])
            for level in gates.levels
            for kind in (AND, OR)
        ]
        return cls(gates, tuple(step for step in steps if len(step.gates)))

    @property
    def words_at_once(self) -> int:
        """How many words fit into memory at once."""
        return max(1, _MOST_BYTES // (8 * len(self.gates)))

    def run(self, leaves: Words) -> tuple[Words, Words]:
        """Truth of every gate, and for ORs whether two operands are true.

        Args:
            leaves: Shape (leaf gates, words), in the order of their ids; gate 0 is the first.

        Returns:
            Both of shape (gates, words); the second is 0 for other gates.
        """
        truth = np.zeros((len(self.gates), leaves.shape[1]), np.uint64)
        overlap = np.zeros_like(truth)
        truth[self.leaves] = leaves
        truth[FALSE] = 0
        for step in self.steps:
            found = truth[step.columns[0]]
            if step.kind == AND:
                for column in step.columns[1:]:
                    found[: len(column)] &= truth[column]
            else:
                twice = np.zeros_like(found)
                for column in step.columns[1:]:
                    more = truth[column]
                    twice[: len(column)] |= found[: len(column)] & more
                    found[: len(column)] |= more
                overlap[step.gates] = twice
            truth[step.gates] = found
        return truth, overlap

    @property
    def leaves(self) -> Int:
        """Ids of the leaf gates, including gate 0."""
        return np.flatnonzero((self.gates.kind != AND) & (self.gates.kind != OR))

    def leaf_words(self, chosen: dict[int, Int], worlds: int) -> Words:
        """Words of the leaf gates.

        Args:
            chosen: Variable to its class in each world; leaves of other variables are true.
            worlds: Number of worlds.
        """
        bits = np.ones((len(self.leaves), -(-worlds // 64) * 64), np.bool_)
        bits[:, worlds:] = False
        sets = self.gates.leaf_set[self.leaves]
        variable = np.where(sets < 0, -1, self.gates.sets.variable[sets])
        for number, states in chosen.items():
            own = np.flatnonzero(variable == number)
            bits[own, :worlds] = self.gates.sets.members[sets[own]][:, states]
        return np.packbits(bits, axis=1, bitorder="little").view(np.uint64)


def _step(gates: Gates, kind: int, chosen: Int) -> _Step:
    order = np.argsort(-gates.fan_in[chosen], kind="stable")
    chosen = chosen[order]
    fan_in = gates.fan_in[chosen]
    columns: list[Int] = []
    if len(chosen):
        reach = np.searchsorted(-fan_in, -np.arange(1, fan_in[0] + 1), side="right")
        starts = gates.pointer[chosen]
        columns = [gates.operands[starts[:many] + j] for j, many in enumerate(reach.tolist())]
    return _Step(kind, chosen, columns)


def random_worlds(gates: Gates, worlds: int, rng: np.random.Generator) -> dict[int, Int]:
    """The class of every variable in each of some random worlds."""
    return {i: rng.integers(0, classes(v), worlds) for i, v in enumerate(gates.variables)}


def all_worlds(gates: Gates, region: Int, size: int) -> Iterator[tuple[int, dict[int, Int]]]:
    """All worlds of the variables in ``region``, at most ``size`` at a time.

    Yields their number, and the class of each variable in each of them.
    """
    numbers = [classes(gates.variables[v]) for v in region.tolist()]
    total = prod(numbers)
    for start in range(0, total, size):
        index = np.arange(start, min(start + size, total))
        states = np.unravel_index(index, numbers)
        yield len(index), dict(zip(region.tolist(), map(np.asarray, states), strict=True))


def meet_in(evaluator: Evaluator, region: Int) -> tuple[Bool, dict[int, dict[int, int]]]:
    """Where operands of an OR overlap when projected to ``region``.

    Returns:
        Shape (gates,): whether two operands of an OR are true in one world; and one such world for
        each of these gates, variable to class.
    """
    meets = np.zeros(len(evaluator.gates), np.bool_)
    worlds: dict[int, dict[int, int]] = {}
    for number, chosen in all_worlds(evaluator.gates, region, 64 * evaluator.words_at_once):
        _, overlap = evaluator.run(evaluator.leaf_words(chosen, number))
        found = np.flatnonzero(overlap.any(axis=1) & ~meets)
        meets[found] = True
        for gate, world in zip(found.tolist(), first_bits(overlap[found]).tolist(), strict=True):
            worlds[gate] = {v: int(states[world]) for v, states in chosen.items()}
    return meets, worlds


def first_bits(words: Words) -> Int:
    """Shape (rows,): position of the first one bit of each row; rows must have one."""
    if not len(words):
        return np.zeros(0, np.int64)
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=1, bitorder="little")
    return np.asarray(bits.argmax(axis=1), np.int64)


def telling(gates: Gates) -> Int:
    """The variables that some leaf restricts; only these can separate supports."""
    used = gates.leaf_set[gates.leaf_set >= 0]
    return np.unique(gates.sets.variable[used[~gates.sets.full[used]]])


def planes(evaluator: Evaluator, block: Int) -> tuple[Words, Words]:
    """Supports projected to each of at most 64 single variables.

    Returns:
        Two of shape (gates, classes): bit i of word s says whether the gate can be true where
        variable ``block[i]`` is in class s; and whether two operands of an OR can.
    """
    gates = evaluator.gates
    number = np.array([classes(gates.variables[v]) for v in block.tolist()], np.int64)
    words = np.full((len(evaluator.leaves), int(number.max())), ONES)
    exists = _exists(number)
    words &= exists[None, :]
    sets = gates.leaf_set[evaluator.leaves]
    variable = np.where(sets < 0, -1, gates.sets.variable[sets])
    position = np.full(len(gates.variables) + 1, -1)
    position[block] = np.arange(len(block))
    own = np.flatnonzero(position[variable] >= 0)
    bit = np.uint64(1) << position[variable[own]].astype(np.uint64)
    members = gates.sets.members[sets[own], : words.shape[1]]
    words[own] &= np.where(members, ONES, ~bit[:, None])
    size = evaluator.words_at_once
    parts = [evaluator.run(words[:, i : i + size]) for i in range(0, words.shape[1], size)]
    truth, overlap = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return truth, overlap


def _exists(number: Int) -> Words:
    """Bit i of word s says whether variable i has a class s."""
    has = np.arange(int(number.max()))[:, None] < number[None, :]
    shifted = has.astype(np.uint64) << np.arange(len(number), dtype=np.uint64)
    return np.asarray(np.bitwise_or.reduce(shifted, axis=1), np.uint64)


def parted(overlap: Words, block: Int) -> Bool:
    """Whether a single variable of ``block`` separates all operands of each gate."""
    full = ONES if len(block) == 64 else (np.uint64(1) << np.uint64(len(block))) - np.uint64(1)
    return np.asarray(np.bitwise_or.reduce(overlap, axis=1) & full != full)


def subsets(table: Words, of: Words) -> Bool:
    """Which rows of ``table`` are subsets of ``of``, as bit sets."""
    return np.asarray(~(table & ~of).any(axis=1))
