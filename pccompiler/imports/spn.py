"""Sum-product networks as text: ``.spn`` files."""

from __future__ import annotations

import math
from pathlib import Path

from pccompiler.imports.lines import Lines
from pccompiler.imports.psdd import ROUNDING
from pccompiler.imports.scalars import Scalars
from pccompiler.ir import Circuit, Variable, binary, categorical

_LEAVES = {"categorical": "categorical", "c": "categorical", "indicator": "i", "i": "i"}


class _Node:
    """A line: its kind, its words, and where it stands."""

    def __init__(self, kind: str, words: list[str], number: int, line: str) -> None:
        self.kind, self.words, self.number, self.line = kind, words, number, line
        self.operands: list[int] = []
        self.numbers: list[float] = []


def read_spn(path: str | Path) -> Circuit:
    """Read an ``.spn`` file as a scalar circuit over discrete variables ``x1``, ``x2``, ...

    ``id + child weight ...``, ``id * child ...``, ``id categorical variable p ...``, ``id indicator
    variable state`` (states from 1), in any order; the kind may also come before the id. The root
    is the node that is nobody's child.

    Raises:
        ImportFormatError: Naming the file and line that is wrong.
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
        scalars = Scalars(self.variables())
        made: dict[int, int] = {}
        root = self.root()
        stack = [root]
        while stack:
            node = stack[-1]
            waiting = [child for child in self.nodes[node].operands if child not in made]
            if node in made:
                stack.pop()
            elif waiting:
                if len(stack) > len(self.nodes):
                    self.at(self.nodes[node])
                    self.lines.fail("PC704", f"node {node} is part of a cycle", "break the cycle")
                stack += waiting[:1]
            else:
                made[node] = self.make(scalars, self.nodes[node], made)
                stack.pop()
        return scalars.circuit(made[root])

    def at(self, node: _Node) -> None:
        """Let errors be about this node's line."""
        self.lines.number, self.lines.line = node.number, node.line

    def line(self, words: list[str]) -> None:
        if len(words) > 2 and words[1].isdigit() and not words[0].isdigit():
            words = [words[1], words[0], *words[2:]]
        if len(words) < 3 or not words[0].isdigit():
            self.lines.fail("PC702", "this is no line of an SPN", "see docs/imports.md")
        number, kind, rest = int(words[0]), words[1], words[2:]
        if number in self.nodes:
            self.lines.fail("PC704", f"node {number} is declared twice", "restore the file")
        node = _Node(_LEAVES.get(kind, kind), rest, self.lines.number, self.lines.line)
        if node.kind == "+":
            if len(rest) % 2:
                self.lines.fail("PC702", "a child has no weight", "write 'id + child weight ...'")
            node.operands = [self.lines.integer(word, "a child") for word in rest[::2]]
            node.numbers = [self.lines.real(word, "a weight") for word in rest[1::2]]
            self.check(node.numbers)
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
        if variable < 1:
            self.lines.fail("PC704", "variables count from 1", "restore the file")
        numbers = [self.lines.real(word, "a number") for word in node.words[1:]]
        if node.kind == "i":
            state = numbers[0] if numbers else 0.0
            if len(numbers) != 1 or state < 1 or state != int(min(state, 1e6)):
                self.lines.fail("PC702", "an indicator needs one state", "write 'id i var state'")
            states = int(state)
        else:
            self.check(numbers)
            states = len(numbers)
        node.operands, node.numbers, node.words = [], numbers, [str(variable)]
        self.states[variable] = max(self.states.get(variable, 2), states)

    def check(self, weights: list[float]) -> None:
        total = math.fsum(weights) if all(map(math.isfinite, weights)) else math.inf
        if min(weights, default=-1.0) < 0.0 or abs(total - 1.0) > ROUNDING:
            self.lines.fail(
                "PC707", f"the weights sum to {total:.9g}", "give weights that sum to 1"
            )

    def variables(self) -> list[Variable]:
        most = max(self.states, default=0)
        if most > 10 * len(self.nodes) + 10:
            self.lines.fail("PC704", f"there is a variable {most}", "restore the file", here=False)
        sizes = [self.states.get(v, 2) for v in range(1, most + 1)]
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
                            "leave one node that is nobody's child", here=False)  # fmt: skip
        return roots[0]

    def make(self, scalars: Scalars, node: _Node, made: dict[int, int]) -> int:
        if node.kind == "+":
            total = math.fsum(node.numbers)
            weights = [weight / total for weight in node.numbers]
            return scalars.sum([made[child] for child in node.operands], weights)
        if node.kind == "*":
            return scalars.product([made[child] for child in node.operands])
        variable = int(node.words[0])
        states = self.states[variable]
        if node.kind == "i":
            return scalars.leaf(
                variable - 1, [float(state + 1 == node.numbers[0]) for state in range(states)]
            )
        total = math.fsum(node.numbers)
        padded = [*(p / total for p in node.numbers), *[0.0] * (states - len(node.numbers))]
        return scalars.leaf(variable - 1, padded)
