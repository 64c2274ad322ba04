"""Whether sums are deterministic: at most one operand is above zero, whatever the assignment."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pccompiler.ir import Circuit, Family, Kind
from pccompiler.ir.kinds import SUMS
from pccompiler.passes.leaf_products import states

Bool = NDArray[np.bool_]
Verdict = Literal["yes", "no", "unknown"]
_SUMS = frozenset(int(kind) for kind in SUMS)
MOST_WORLDS = 4096
"""Supports over more joint states than this are not written out."""
MOST_PAIRS = 2_000_000
"""Pairs of nodes that are compared at most."""


@dataclass(frozen=True)
class Determinism:
    """What was found.

    Attributes:
        verdict: ``"yes"``: every sum is deterministic. ``"no"``: one is not, see the witness.
        node: A sum that is not, or of which nothing is known; -1 for ``"yes"``.
        witness: Variable to state, over the scope of ``node``, where two operands are above zero.
        reason: In words.
    """

    verdict: Verdict
    node: int
    witness: dict[int, int]
    reason: str


def determinism(circuit: Circuit) -> Determinism:
    """Decide determinism as far as it is cheap; sound both ways.

    Supports over at most 4,096 joint states are written out, exactly; larger nodes are told apart
    by their parts: products of one split by any pair of parts, sums by all pairs of operands.
    Weights without given values, and leaves without, count as positive.

    Source:
        Choi, Vergari and Van den Broeck (2020), "Probabilistic Circuits", section 4.2; Kisa et al.
        (2014) for the pattern of PSDDs.
    """
    return _Supports(circuit).decide()


class _Supports:
    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self.kinds: list[int] = circuit.kind.tolist()
        self.units: list[int] = circuit.units.tolist()
        flat, cuts = circuit.operands.tolist(), circuit.pointer.tolist()
        self.operands: list[list[int]] = [flat[i:j] for i, j in pairwise(cuts)]
        self.scopes = [
            tuple(circuit.scopes.variables(n).tolist()) for n in range(circuit.num_nodes)
        ]
        self.sizes = [v.cardinality if v.discrete else 0 for v in circuit.variables]
        self.tables: list[Bool | None] = []
        self._used: dict[int, list[int]] = {}
        self.apart: dict[tuple[int, int], bool] = {}

    def decide(self) -> Determinism:
        circuit = self.circuit
        unknown = -1
        for node in range(circuit.num_nodes):
            self.tables.append(self.table(node))
            if circuit.kind[node] not in SUMS:
                continue
            found = self.check(node)
            if isinstance(found, dict):
                label = circuit.label(node)
                return Determinism("no", node, found, f"two operands of {label} overlap")
            if not found and unknown < 0:
                unknown = node
        if unknown >= 0:
            label = circuit.label(unknown)
            return Determinism("unknown", unknown, {}, f"operands of {label} were not told apart")
        return Determinism("yes", -1, {}, "all operands of all sums have disjoint supports")

    def shape(self, node: int) -> tuple[int, ...] | None:
        """States of the scope's variables; ``None`` if there are too many."""
        sizes = tuple(self.sizes[v] for v in self.scopes[node])
        return sizes if all(sizes) and prod(sizes) <= MOST_WORLDS else None

    def table(self, node: int) -> Bool | None:
        """Where each unit is above zero, shape (units, states ...)."""
        circuit, shape = self.circuit, self.shape(node)
        if shape is None:
            return None
        if circuit.kind[node] == Kind.INPUT:
            return self.leaf(node)
        operands = circuit.operands_of(node).tolist()
        parts = [self.spread(j, self.scopes[node]) for j in operands]
        if circuit.kind[node] == Kind.PRODUCT:
            out = parts[0]
            for part in parts[1:]:
                out = out & part
            return np.broadcast_to(out, (out.shape[0], *shape))
        if circuit.kind[node] == Kind.KRONECKER:
            out = parts[0]
            for part in parts[1:]:
                both = out[:, None] & part[None]
                out = both.reshape(-1, *both.shape[2:])
            return np.broadcast_to(out, (out.shape[0], *shape))
        return self.counts(node, parts) > 0

    def counts(self, node: int, parts: list[Bool]) -> NDArray[np.int64]:
        """How many inputs of each row of a sum are above zero, shape (units, states ...)."""
        positive, shape = self.positive(node), self.shape(node) or ()
        flat = [np.broadcast_to(p, (len(p), *shape)).reshape(len(p), -1) for p in parts]
        if self.circuit.kind[node] == Kind.MIXTURE:
            stack = np.stack(flat).astype(np.int64)
            out = np.einsum("ui,iuw->uw", positive.astype(np.int64), stack)
        else:
            out = positive.astype(np.int64) @ np.concatenate(flat).astype(np.int64)
        return np.asarray(out.reshape(len(positive), *shape), np.int64)

    def positive(self, node: int) -> Bool:
        weight = int(self.circuit.weight[node])
        table = self.circuit.weights.values.get(weight)
        shape = int(self.circuit.weights.rows[weight]), int(self.circuit.weights.columns[weight])
        return np.ones(shape, np.bool_) if table is None else table > 0.0

    def leaf(self, node: int) -> Bool:
        circuit = self.circuit
        variable = circuit.variables[int(circuit.variable[node])]
        given = circuit.family[node] == Family.INDICATOR or (
            int(circuit.weight[node]) in circuit.weights.values
        )
        if given:
            return states(circuit, node, variable) > 0.0
        return np.ones((int(circuit.units[node]), variable.cardinality), np.bool_)

    def spread(self, node: int, scope: tuple[int, ...]) -> Bool:
        """A node's table with an axis for each variable of ``scope``."""
        table = self.tables[node]
        if table is None:
            raise AssertionError("a part has more states than the whole")  # pragma: no cover
        mine = self.scopes[node]
        shape = [self.sizes[v] if v in mine else 1 for v in scope]
        return table.reshape(len(table), *shape)

    def check(self, node: int) -> bool | dict[int, int]:
        """Whether a sum is deterministic; a witness where it is not; ``False`` if unknown."""
        circuit = self.circuit
        operands = circuit.operands_of(node).tolist()
        if self.tables[node] is not None:
            counts = self.counts(node, [self.spread(j, self.scopes[node]) for j in operands])
            if (counts > 1).any():
                world = np.argwhere(counts > 1)[0][1:].tolist()
                return dict(zip(self.scopes[node], world, strict=True))
            return True
        if len(operands) == 1 and circuit.units[operands[0]] == 1:
            return True
        if circuit.units[node] > 1 or any(circuit.units[j] > 1 for j in operands):
            return False
        used = self.used(node)
        left = np.argwhere(np.triu(self.maybe_overlap(used), 1)).tolist()
        return all(self.disjoint(used[i], used[j]) for i, j in left)

    def maybe_overlap(self, used: list[int]) -> Bool:
        """Pairs of operands that their parts with tables do not tell apart, all at once."""
        overlap = np.ones((len(used), len(used)), np.bool_)
        parts: dict[tuple[int, ...], list[Bool]] = {}
        for node in used:
            inner = self.circuit.kind[node] == Kind.PRODUCT
            for part in self.circuit.operands_of(node).tolist() if inner else [node]:
                table = self.tables[part]
                if table is not None and len(table) == 1:
                    parts.setdefault(self.scopes[part], []).append(table.ravel())
        for tables in parts.values():
            if len(tables) == len(used):
                stack = np.stack(tables).astype(np.float32)
                overlap &= stack @ stack.T > 0.0
        return overlap

    def used(self, node: int) -> list[int]:
        """Operands of a sum of one unit that have a positive weight."""
        if node not in self._used:
            pairs = zip(self.operands[node], self.positive(node)[0].tolist(), strict=True)
            self._used[node] = [j for j, weight in pairs if weight]
        return self._used[node]

    def disjoint(self, a: int, b: int) -> bool:
        """Whether two nodes of one unit over one scope are never both above zero: proven."""
        start = _pair(a, b)
        stack = [start]
        while stack:
            pair = stack[-1]
            if pair in self.apart or len(self.apart) > MOST_PAIRS:
                stack.pop()
                continue
            needs, decisive = self.needs(*pair)
            if pair in self.apart:
                continue
            found = [self.apart.get(need) for need in needs]
            if decisive in found or None not in found:
                self.apart[pair] = decisive if decisive in found else bool(needs) and not decisive
            else:
                stack.append(needs[found.index(None)])
        return self.apart.get(start, False)

    def needs(self, a: int, b: int) -> tuple[list[tuple[int, int]], bool]:
        """Pairs that decide a pair, and the answer of one that settles it at once.

        Pairs of tables are decided here.
        """
        x, y = self.tables[a], self.tables[b]
        if x is not None and y is not None:
            self.apart[a, b] = not (x & y).any() if len(x) == len(y) == 1 else False
            return [], True
        if a == b or self.units[a] > 1 or self.units[b] > 1:
            self.apart[a, b] = False
            return [], True
        if self.kinds[a] in _SUMS:
            return [_pair(i, b) for i in self.used(a)], False
        if self.kinds[b] in _SUMS:
            return [_pair(a, j) for j in self.used(b)], False
        pairs = [
            _pair(i, j)
            for i in self.operands[a]
            for j in self.operands[b]
            if self.scopes[i] == self.scopes[j]
        ]
        return sorted(pairs, key=lambda pair: len(self.scopes[pair[0]])), True


def _pair(a: int, b: int) -> tuple[int, int]:
    return (a, b) if a < b else (b, a)
