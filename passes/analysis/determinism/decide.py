"""Determinism: whether at most one operand of each sum is nonzero, in every world."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Literal, NamedTuple

import numpy as np

from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Int
from pccompiler.ir.families.classes import classes
from pccompiler.passes.analysis.determinism.gates import OR, Bool, Gates, find_gates
from pccompiler.passes.analysis.determinism.pairs import OutOfBudgetError, Pairs
from pccompiler.passes.analysis.determinism.witness import Witness, confirm, world_of
from pccompiler.passes.analysis.determinism.worlds import (
    Evaluator,
    first_bits,
    meet_in,
    parted,
    planes,
    random_worlds,
    subsets,
    telling,
)

MOST_PAIRS = 1_000_000
"""The most pairs of nodes that are compared before the answer is "unknown"."""
_RANDOM_WORLDS = 256
_SMALL, _LARGE = 1 << 12, 1 << 20
_MOST_WORK = 200_000_000
"""Words of worlds times operands, for all regions together; a second or two."""
_MOST_BLOCKS = 64
_ATTEMPTS = 32
_PROVEN = "all operands of all sums have disjoint supports"


@dataclass(frozen=True)
class Determinism:
    """Whether a circuit is deterministic.

    Attributes:
        verdict: ``"yes"``: every sum is deterministic. ``"no"``: one is not, see the witness.
        node: A sum that is not deterministic, or is undecided; -1 for ``"yes"``.
        witness: Variable to value, over the scope of ``node``, where two operands are positive.
        reason: The reason in words.
        sums: ``node`` and all others that are refuted in the same way, or also undecided; only one
            of several sums with the same operand supports.
        proof: The witness with the operands and their values in float64.
    """

    verdict: Literal["yes", "no", "unknown"]
    node: int
    witness: dict[int, float]
    reason: str
    sums: tuple[int, ...] = ()
    proof: Witness | None = None


def determinism(circuit: Circuit, *, most_pairs: int = MOST_PAIRS, seed: int = 0) -> Determinism:
    """Decide whether every sum of ``circuit`` is deterministic, as far as the budget allows.

    Edges of weight 0 do not count; weights without values count as positive, and leaves without
    values as positive everywhere. It tries, in this order, random worlds, single variables, all
    worlds of small regions, pairs of nodes, and all worlds of larger regions.

    Args:
        circuit: Structurally valid, but not necessarily smooth or decomposable.
        most_pairs: The most pairs of nodes to compare.
        seed: Seed of the random worlds.

    Source:
        Darwiche and Marquis (2002), "A Knowledge Compilation Map"; Kisa et al. (2014) for the
        pattern of PSDDs; Choi, Vergari and Van den Broeck (2020), "Probabilistic Circuits".
    """
    gates, _ = find_gates(circuit)
    work = _Work(circuit, np.random.default_rng(seed), most_pairs)
    return work.run(gates)


class _Open(NamedTuple):
    """The sums that are still undecided, and the gates they depend on."""

    gates: Gates
    ors: Int

    def without(self, decided: Bool) -> _Open:
        """What is left when the gates of a mask are decided."""
        left = self.ors[~decided[self.ors]]
        if len(left) == len(self.ors):
            return self
        part, old = self.gates.restrict(left)
        return _Open(part, np.searchsorted(old, left))


@dataclass
class _Work:
    """The search, stage by stage."""

    circuit: Circuit
    rng: np.random.Generator
    most_pairs: int
    spent: int = 0
    seen: set[bytes] = field(default_factory=set[bytes])

    def run(self, gates: Gates) -> Determinism:
        left = _Open(gates, np.flatnonzero(gates.kind == OR))
        total = len(left.ors)
        if not total:
            return Determinism("yes", -1, {}, _PROVEN)
        for stage in (self.at_random, self.by_variable, self.by_small, self.by_pairs, self.by_all):
            outcome = stage(left)
            if isinstance(outcome, Determinism):
                return outcome
            left = outcome
            if not len(left.ors):
                return Determinism("yes", -1, {}, _PROVEN)
        sums = np.unique(left.gates.node[left.ors]).tolist()
        label = self.circuit.label(sums[0])
        more = f" and {len(sums) - 1:,} more sums" if len(sums) > 1 else ""
        reason = f"no proof was found that the operands of {label}{more} are disjoint"
        return Determinism("unknown", sums[0], {}, reason, tuple(sums))

    def at_random(self, left: _Open) -> _Open | Determinism:
        """Refute by random worlds."""
        evaluator = Evaluator.of(left.gates)
        size = min(_RANDOM_WORLDS, 64 * evaluator.words_at_once)
        for _ in range(_RANDOM_WORLDS // size):
            chosen = random_worlds(left.gates, size, self.rng)
            _, overlap = evaluator.run(evaluator.leaf_words(chosen, size))
            met = np.flatnonzero(overlap.any(axis=1))
            if len(met):
                lowest = met[np.argsort(left.gates.level[met], kind="stable")]
                place = int(first_bits(overlap[lowest[:1]])[0])
                world = {v: int(states[place]) for v, states in chosen.items()}
                return self.refuted(left.gates, lowest, world) or left
        return left

    def by_variable(self, left: _Open) -> _Open | Determinism:
        """Prove by single variables that separate all operands."""
        variables = telling(left.gates)
        blocks = [variables[i : i + 64] for i in range(0, len(variables), 64)]
        decided = np.zeros(len(left.gates), np.bool_)
        evaluator = Evaluator.of(left.gates)
        most = max((classes(v) for v in self.circuit.variables), default=1)
        for block in blocks[:_MOST_BLOCKS]:
            if not self.affords(most * len(left.gates.operands)):
                break
            decided |= parted(planes(evaluator, block)[1], block)
        return left.without(decided)

    def by_small(self, left: _Open) -> _Open | Determinism:
        """Prove or refute by regions of few worlds."""
        return self.by_regions(left, _SMALL)

    def by_all(self, left: _Open) -> _Open | Determinism:
        """Prove or refute by regions of more worlds."""
        for most in (1 << 16, _LARGE):
            outcome = self.by_regions(left, most)
            if isinstance(outcome, Determinism):
                return outcome
            left = outcome
        return left

    def by_regions(self, left: _Open, most: int) -> _Open | Determinism:
        """Project to maximal scopes of at most ``most`` worlds, largest first."""
        table = self.circuit.scopes.table
        for row in self.regions(left.gates, most).tolist():
            if not len(left.ors):
                break
            region = np.flatnonzero(_bits(table[row], len(self.circuit.variables)))
            worlds = prod(classes(self.circuit.variables[v]) for v in region.tolist())
            if not self.affords(-(-worlds // 64) * len(left.gates.operands)):
                break
            self.seen.add(table[row].tobytes())
            meets, where = meet_in(Evaluator.of(left.gates), region)
            inside = subsets(table[left.gates.scope], table[row])
            wrong = left.ors[meets[left.ors] & inside[left.ors]]
            if len(wrong):
                lowest = wrong[np.argsort(left.gates.level[wrong], kind="stable")]
                refuted = self.refuted(left.gates, lowest, where[int(lowest[0])])
                if refuted is not None:
                    return refuted
            left = left.without(~meets)
        return left

    def regions(self, gates: Gates, most: int) -> Int:
        """Rows of the scope table: maximal scopes of at most ``most`` worlds, largest first."""
        table = self.circuit.scopes.table
        rows = np.unique(gates.scope[gates.node >= 0])
        rows = rows[[table[row].tobytes() not in self.seen for row in rows.tolist()]]
        size = np.log2([classes(v) for v in self.circuit.variables])
        bits = _bits(table[rows], len(self.circuit.variables))
        worlds = np.where(bits, size, 0.0).sum(axis=1)
        fit = np.flatnonzero(worlds <= np.log2(most) + 1e-9)
        fit = fit[np.argsort(-worlds[fit], kind="stable")][:4096]
        chosen: list[int] = []
        for row in rows[fit].tolist():
            if not chosen or not subsets(table[[row]], table[chosen]).any():
                chosen.append(row)
        return np.array(chosen, np.int64)

    def affords(self, work: int) -> bool:
        """Whether the budget allows ``work`` more; if so, it is spent."""
        if self.spent + work > _MOST_WORK:
            return False
        self.spent += work
        return True

    def by_pairs(self, left: _Open) -> _Open | Determinism:
        """Compare operands pair by pair."""
        gates = left.gates
        if len(gates) > self.most_pairs:
            return left
        pairs = Pairs(gates, self.circuit.scopes.table, self.most_pairs)
        decided = np.zeros(len(gates), np.bool_)
        order = left.ors[np.argsort(gates.level[left.ors], kind="stable")]
        try:
            for gate in order.tolist():
                pair = pairs.undecided(gate)
                decided[gate] = pair is None
                refuted = None if pair is None else self.by_pair(gates, pairs, gate, pair)
                if refuted is not None:
                    return refuted
        except OutOfBudgetError:
            pass
        return left.without(decided)

    def by_pair(
        self, gates: Gates, pairs: Pairs, gate: int, pair: tuple[int, int]
    ) -> Determinism | None:
        """Refute ``gate`` by a world that makes two operands positive, if one is found."""
        for _ in range(_ATTEMPTS):
            allowed = pairs.together(*pair, self.rng)
            if allowed is not None:
                world = {v: int(self.rng.choice(np.flatnonzero(s))) for v, s in allowed.items()}
                refuted = self.refuted(gates, np.array([gate]), world)
                if refuted is not None:
                    return refuted
        return None

    def refuted(self, gates: Gates, met: Int, world: dict[int, int]) -> Determinism | None:
        """The answer "no", if an evaluation of the first of ``met`` confirms it."""
        node, unit = int(gates.node[met[0]]), int(gates.unit[met[0]])
        witness = confirm(self.circuit, node, unit, world_of(self.circuit, world))
        if witness is None:
            return None
        inside = self.circuit.scopes.variables(node).tolist()
        return Determinism(
            "no",
            node,
            {variable: witness.world[variable] for variable in inside},
            f"two operands of {self.circuit.label(node)} overlap",
            tuple(dict.fromkeys([node, *gates.node[met].tolist()])),
            witness,
        )


def _bits(rows: np.ndarray[tuple[int, ...], np.dtype[np.uint64]], count: int) -> Bool:
    """Bit sets as masks over variables, shape (..., count)."""
    raw = np.ascontiguousarray(rows).view(np.uint8)
    return np.unpackbits(raw, axis=-1, bitorder="little")[..., :count].astype(np.bool_)
