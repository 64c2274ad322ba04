"""Reads sum-product networks as text (``.spn`` files)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from pccompiler.imports.formats.lines import Lines
from pccompiler.imports.scalars import Scalars, check
from pccompiler.ir import Circuit, Variable, binary, categorical

_LEAVES = {"categorical": "categorical", "c": "categorical", "indicator": "i", "i": "i", "l": "i"}
_NUMBER = re.compile(r"[0-9]+")


class _Node:
    """A line: its kind, its words and its line number."""

    def __init__(self, kind: str, words: list[str], number: int, line: str) -> None:
        self.kind, self.words, self.number, self.line = kind, words, number, line
        self.operands: list[int] = []
        self.numbers: list[float] = []


def read_spn(path: str | Path) -> Circuit:
    """Read an ``.spn`` file as a scalar circuit over discrete variables ``x1``, ``x2``, ...

    ``id + child weight ...``, ``id * child ...``, ``id categorical variable p ...``, ``id indicator
    variable state``, in any order; the kind may also come before the id. Variables and states both
    count from 1, as in SPNetworks.jl, or from 0, as in pyspn; variable 0 is then ``x1``. The root
    is the node without parents. Weights match the file to the last digit, except that rounded rows
    (which sum to 1 only within 1e-3) are divided by their sum.

    Raises:
        ImportFormatError: Names the file and line that is wrong.
    """
    return _Reader(Path(path)).read()


class _Reader:
    def __init__(self, path: Path) -> None:
        self.lines = Lines(path, "#")
        self.nodes: dict[int, _Node] = {}
        self.states: dict[int, int] = {}

    def read(self) -> Circuit:
        for words in self.lines:
            self.line(words)
        if not self.nodes:
            self.lines.fail("PC705", "the file has no nodes", "fetch it again", here=False)
        self.settle()
        scalars = Scalars(self.variables(), self.lines)
        made: dict[int, int] = {}
        root = self.root()
        for number in self.bottom_up(root):
            node = self.nodes[number]
            self.at(node)  # new nodes get its line
            made[number] = self.make(scalars, node, made)
        return check(scalars.circuit(made[root]), self.lines)

    def bottom_up(self, root: int) -> Iterator[int]:
        """All nodes, children first, by depth-first search."""
        stack = [(root, iter(self.nodes[root].operands))]
        done: set[int] = set()
        path = {root}
        while stack:
            node, children = stack[-1]
            child = next((child for child in children if child not in done), None)
            if child is None:
                yield node
                done.add(node)
                path.discard(node)
                stack.pop()
            elif child in path:
                self.cycle(child)
            else:
                path.add(child)
                stack.append((child, iter(self.nodes[child].operands)))
        if len(done) < len(self.nodes):  # all but the root have parents
            self.cycle(next(number for number in self.nodes if number not in done))

    def cycle(self, number: int) -> NoReturn:
        self.at(self.nodes[number])
        self.lines.fail(
            "PC704", f"node {number} is part of a cycle or below one", "break the cycle"
        )

    def at(self, node: _Node) -> None:
        """Report errors at this node's line from now on."""
        self.lines.number, self.lines.line = node.number, node.line

    def line(self, words: list[str]) -> None:
        if len(words) > 2 and _NUMBER.fullmatch(words[1]) and not _NUMBER.fullmatch(words[0]):
            words = [words[1], words[0], *words[2:]]
        if len(words) < 3 or not _NUMBER.fullmatch(words[0]):
            self.lines.fail("PC702", "not a valid SPN line", "see docs/howto/imports.md")
        number, kind, rest = self.lines.integer(words[0], "the id"), words[1], words[2:]
        if number in self.nodes:
            self.lines.fail("PC704", f"node {number} is declared twice", "restore the file")
        node = _Node(_LEAVES.get(kind, kind), rest, self.lines.number, self.lines.line)
        if node.kind == "+":
            if len(rest) % 2:
                self.lines.fail("PC702", "a child has no weight", "write 'id + child weight ...'")
            node.operands = [self.lines.integer(word, "a child") for word in rest[::2]]
            numbers = [self.lines.real(word, "a weight") for word in rest[1::2]]
            node.numbers = self.lines.row(numbers)
        elif node.kind == "*":
            node.operands = [self.lines.integer(word, "a child") for word in rest]
        elif node.kind in ("categorical", "i"):
            self.leaf(node)
        else:
            self.lines.fail(
                "PC708", f"nodes of kind {kind!r} are not supported", "use +, *, categorical, i"
            )
        self.nodes[number] = node

    def leaf(self, node: _Node) -> None:
        variable = self.lines.integer(node.words[0], "the variable")
        if variable < 0:
            self.lines.fail("PC704", "variables count from 0 or 1", "restore the file")
        numbers = [self.lines.real(word, "a number") for word in node.words[1:]]
        if node.kind == "i":
            state = numbers[0] if numbers else -1.0
            if len(numbers) != 1 or state < 0 or state != int(min(state, 1e15)):
                self.lines.fail("PC702", "an indicator needs one state", "write 'id i var state'")
        else:
            numbers = self.lines.row(numbers)
        node.numbers, node.words = numbers, [str(variable)]

    def settle(self) -> None:
        """Count variables and states from 1; a file may count both from 0."""
        leaves = [node for node in self.nodes.values() if node.kind in ("categorical", "i")]
        indicators = [node for node in leaves if node.kind == "i"]
        start = min((int(node.words[0]) for node in leaves), default=1)
        lowest = min(indicators, key=lambda node: node.numbers[0], default=None)
        if lowest is not None and min(lowest.numbers[0], 1) != min(start, 1):
            self.at(lowest)
            self.lines.fail(
                "PC704",
                f"variables count from {start}, but states from {lowest.numbers[0]:g}",
                "count both from 1, like SPNetworks.jl, or both from 0, like pyspn",
            )
        for node in leaves:
            self.at(node)
            if start == 0:
                node.words = [str(int(node.words[0]) + 1)]
                node.numbers = [node.numbers[0] + 1] if node.kind == "i" else node.numbers
            self.widen(int(node.words[0]), node)

    def widen(self, variable: int, node: _Node) -> None:
        """Give the variable at least as many states as the leaf has."""
        states = int(node.numbers[0]) if node.kind == "i" else len(node.numbers)
        self.lines.most("states", states)
        self.states[variable] = max(self.states.get(variable, 2), states)

    def variables(self) -> list[Variable]:
        """Variables 1, 2, ... without a gap."""
        for wanted, variable in enumerate(sorted(self.states), 1):
            if variable != wanted:
                self.lines.fail("PC704", f"variable {wanted} has no leaf, but {variable} does",
                                "number the variables 1, 2, ...", here=False)  # fmt: skip
        sizes = [size for _, size in sorted(self.states.items())]
        return [
            binary(f"x{v}") if size == 2 else categorical(f"x{v}", size)
            for v, size in enumerate(sizes, 1)
        ]

    def root(self) -> int:
        children = {child for node in self.nodes.values() for child in node.operands}
        for node in self.nodes.values():
            for child in node.operands:
                if child not in self.nodes:
                    self.at(node)
                    self.lines.fail("PC704", f"node {child} is not declared", "declare it")
        roots = sorted(self.nodes.keys() - children)
        if len(roots) != 1:
            what = ", ".join(str(root) for root in roots[:5]) or "none"
            self.lines.fail("PC709", f"the file has {len(roots)} roots: {what}",
                            "keep one node without parents", here=False)  # fmt: skip
        return roots[0]

    def make(self, scalars: Scalars, node: _Node, made: dict[int, int]) -> int:
        if node.kind == "+":
            return scalars.sum([made[child] for child in node.operands], node.numbers)
        if node.kind == "*":
            return scalars.product([made[child] for child in node.operands])
        variable = int(node.words[0])
        states = self.states[variable]
        if node.kind == "i":
            return scalars.leaf(
                variable - 1, [float(state + 1 == node.numbers[0]) for state in range(states)]
            )
        return scalars.leaf(variable - 1, [*node.numbers, *[0.0] * (states - len(node.numbers))])
