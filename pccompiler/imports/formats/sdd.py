"""Reads sentential decision diagrams (``.sdd`` files)."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from pccompiler.imports.formats.logic import FALSE, TRUE, ListReader, Weights
from pccompiler.imports.formats.vtree import Vtree, read_vtree
from pccompiler.ir import Circuit


def read_sdd(
    path: str | Path, vtree: str | Path | None = None, *, weights: Weights | None = None
) -> Circuit:
    """Read a sentential decision diagram; its value is 1 on models of the formula, otherwise 0.

    Args:
        path: The file. Its last node is the root.
        vtree: Its vtree, which gives the variables and is checked against the file. Otherwise the
            variables go up to the highest literal.
        weights: Literal to weight, by default 1; a model's value is then the product of the
            weights of its literals. ``exp(log_scale)`` of the result is the weighted model count.

    Returns:
        A smooth circuit over binary variables ``x1``, ``x2``, ..., deterministic if the file is.

    Raises:
        ImportFormatError: Names the file and line that is wrong, or says that no model has a
            positive weight.

    Source:
        Darwiche (2011), "SDD: A New Canonical Representation of Propositional Knowledge Bases".
    """
    tree = None if vtree is None else read_vtree(vtree)
    return _SddReader(Path(path), tree).read(weights or {})


class _SddReader(ListReader):
    header, counts = "sdd", 1

    def __init__(self, path: Path, tree: Vtree | None) -> None:
        super().__init__(path)
        self.tree = tree
        self.most = 0 if tree is None else len(tree.leaves)
        self.whole = tree is not None
        self.places: dict[int, int] = {}

    def node(self, kind: str, numbers: list[int]) -> tuple[int, int]:
        """The node of one line; the second number is its vtree node."""
        number = numbers[0] if numbers else -1
        if not numbers or number in self.nodes:
            self.lines.fail("PC704", f"node {number} has no unique id", "restore the file")
        made = self.made(kind, numbers)
        if len(numbers) > 1:
            self.places[number] = numbers[1]
        return number, made

    def made(self, kind: str, numbers: list[int]) -> int:
        """A constant, a literal or a decision."""
        if kind in ("T", "F") and len(numbers) == 1:
            return TRUE if kind == "T" else FALSE
        if kind == "L" and len(numbers) == 3:
            leaf = self.literal(numbers[2])
            if self.tree is not None and self.tree.leaves.get(numbers[1]) != abs(numbers[2]):
                self.misplaced(
                    f"vtree node {numbers[1]} is not the leaf of variable {abs(numbers[2])}"
                )
            return leaf
        if kind == "D" and len(numbers) > 3 and len(numbers) == 3 + 2 * numbers[2]:
            return self.decision(numbers[1], numbers[3:])
        self.lines.fail("PC702", "not a valid SDD line", "write F, T, L or D lines")

    def decision(self, place: int, operands: list[int]) -> int:
        """The disjunction of conjunctions of a prime and a sub; both alternate in ``operands``."""
        nodes = [self.known(number) for number in operands]
        for at, number in enumerate(operands if self.tree is not None else []):
            below, side = self.places.get(number), at % 2  # constants have no place
            if below is not None and not (self.tree and self.tree.beneath(below, place, side)):
                where = f"not under the {('left', 'right')[side]} child of {place}"
                self.misplaced(f"node {number} belongs to vtree node {below}, which is {where}")
        pairs = zip(nodes[::2], nodes[1::2], strict=True)
        return self.either([self.both([prime, sub]) for prime, sub in pairs])

    def misplaced(self, message: str) -> NoReturn:
        """Refuse a node that does not respect the vtree."""
        self.lines.fail("PC706", message, "give the vtree of this file")
