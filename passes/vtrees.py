"""Structured decomposability: whether all products split as one tree does, and the tree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Int
from pccompiler.ir.kinds import PRODUCTS

Scope = frozenset[int]
Partition = frozenset[Scope]


@dataclass(frozen=True)
class Vtree:
    """A tree of regions: how a structured decomposable circuit splits its variables.

    Attributes:
        root: All variables.
        children: Each inner region's parts: two for a vtree in the strict sense, or more.
    """

    root: Scope
    children: dict[Scope, tuple[Scope, ...]]

    def describe(self, names: tuple[str, ...]) -> str:
        """One line a region, indented by depth; a leaf region lists its variables."""
        lines: list[str] = []
        stack = [(self.root, 0)]
        while stack:
            scope, depth = stack.pop()
            parts = self.children.get(scope, ())
            here = ", ".join(names[v] for v in sorted(scope)) if not parts else f"({len(scope)})"
            lines.append("  " * depth + here)
            stack += [(part, depth + 1) for part in reversed(parts)]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Structure:
    """Whether a circuit is structured decomposable.

    Attributes:
        vtree: The tree, if it is.
        culprits: Two products that split one region in ways that no tree has both, if it is not.
    """

    vtree: Vtree | None
    culprits: tuple[int, ...] = ()


def structure(circuit: Circuit) -> Structure:
    """Find the one way in which products split each scope, or two products that differ.

    Products of one scope agree if their parts are equal, or if one's are unions of the other's.

    Args:
        circuit: Smooth and decomposable.

    Source:
        Pipatsrisawat and Darwiche (2008), "New Compilation Languages Based on Structured
        Decomposability".
    """
    splits = distinct_splits(circuit)
    children: dict[Scope, tuple[Scope, ...]] = {}
    for scope, found in splits.items():
        coarsest = min(found, key=lambda split: (len(split), sorted(map(sorted, split))))
        for split, node in found.items():
            if not refines(split, coarsest):
                return Structure(None, (found[coarsest], node))
        children[scope] = tuple(sorted(coarsest, key=min))
    for scope, found in splits.items():  # finer splits must agree with those of the parts
        for split, node in found.items():
            for part in children[scope]:
                inner = frozenset(piece for piece in split if piece < part)
                if not inner:
                    continue
                known = children.setdefault(part, tuple(sorted(inner, key=min)))
                if not (refines(inner, known) or refines(frozenset(known), inner)):
                    return Structure(None, (found[min(found, key=len)], node))
    root = frozenset(circuit.scopes.variables(circuit.root).tolist())
    return Structure(Vtree(root, children))


def distinct_splits(circuit: Circuit) -> dict[Scope, dict[Partition, int]]:
    """For each scope of a product, the distinct ways to split it, each with a product."""
    index = circuit.scopes.index
    products = np.flatnonzero(np.isin(circuit.kind, PRODUCTS) & (circuit.fan_in > 1))
    named: dict[int, Scope] = {}

    def scope_of(number: int, node: int) -> Scope:
        if number not in named:
            named[number] = frozenset(circuit.scopes.variables(node).tolist())
        return named[number]

    result: dict[Scope, dict[Partition, int]] = {}
    seen: set[tuple[int, ...]] = set()
    for node in products.tolist():
        below: Int = circuit.operands_of(node)
        numbers = index[below].tolist()
        key = tuple(sorted(numbers))
        if key in seen:
            continue
        seen.add(key)
        pairs = zip(numbers, below.tolist(), strict=True)
        split = frozenset(scope_of(number, operand) for number, operand in pairs)
        result.setdefault(scope_of(int(index[node]), node), {}).setdefault(split, node)
    return result


def refines(fine: Iterable[Scope], coarse: Iterable[Scope]) -> bool:
    """Whether every part of ``fine`` lies in one part of ``coarse``."""
    wide = list(coarse)
    return all(any(part <= other for other in wide) for part in fine)


def compatible(left: Circuit, right: Circuit) -> tuple[int, int] | None:
    """Two products, one of each circuit, that cannot be multiplied; ``None`` if all can.

    Variables are matched by name. Products over one scope must split it alike, or one's parts be
    unions of the other's (Vergari et al. 2021, definition 2.6).
    """
    names = {v.name: i for i, v in enumerate(left.variables)}
    moved = {i: names.get(v.name, len(names) + i) for i, v in enumerate(right.variables)}
    mine, other = distinct_splits(left), distinct_splits(right)
    theirs = {
        frozenset(moved[v] for v in scope): {
            frozenset(frozenset(moved[v] for v in part) for part in split): node
            for split, node in found.items()
        }
        for scope, found in other.items()
    }
    for scope, found in mine.items():
        for split, node in found.items():
            for second, partner in theirs.get(scope, {}).items():
                if not (refines(split, second) or refines(second, split)):
                    return node, partner
    return None
