"""Reads decision-DNNF files of the compiler D4: nodes, and edges with literals."""

from __future__ import annotations

from pathlib import Path

from pccompiler.errors import ImportFormatError
from pccompiler.imports.formats.lines import Lines
from pccompiler.imports.formats.logic import FALSE, TRUE, LogicReader, Weights
from pccompiler.ir import Circuit
from pccompiler.ir.build.node_list import topological

_KINDS = ("o", "a", "t", "f")
_ROOT = 1


def is_d4(path: Path) -> bool:
    """Whether the first line of the file is in D4's format.

    Raises:
        ImportFormatError: If the file cannot be read.
    """
    first = next(iter(Lines(path, "c")), [""])
    return first[0] in _KINDS or first[0].isdecimal()


class D4Reader(LogicReader):
    """Reads all lines, then makes the nodes, children first.

    Args:
        path: The file.
        variables: Number of variables, if known.
    """

    def __init__(self, path: Path, variables: int | None) -> None:
        super().__init__(path)
        self.most = 0 if variables is None else self.bounded(variables)
        self.whole = variables is not None
        self.kinds: dict[int, str] = {}
        self.edges: dict[int, list[tuple[int, tuple[int, ...]]]] = {}
        self.arcs: list[tuple[int, int, tuple[int, ...], int, str]] = []
        self.declared: dict[int, tuple[int, str]] = {}

    def read(self, weights: Weights) -> Circuit:
        """The circuit of node 1."""
        for words in self.lines:
            self.line(words)
        self.connect()
        if _ROOT not in self.kinds:
            self.lines.fail("PC705", "node 1, the root, is missing", "fetch it again", here=False)
        numbers = list(self.kinds)
        place = {number: i for i, number in enumerate(numbers)}
        below = [[place[child] for child, _ in self.edges[number]] for number in numbers]
        order = [numbers[i] for i in topological(below).tolist()]
        if len(order) < len(numbers):
            self.at(next(number for number in numbers if number not in set(order)))
            self.lines.fail("PC704", "the node is part of a cycle or above one", "break the cycle")
        for number in order:
            self.at(number)
            self.nodes[number] = self.make(number)
        self.root = self.nodes[_ROOT]
        if self.root == FALSE:
            raise self.no_model("has no model")
        if not self.most:
            raise ImportFormatError.of(
                "PC705",
                "the file has no variables",
                location=str(self.lines.path),
                help="give their number: read_nnf(path, variables=3)",
            )
        return self.finish(weights)

    def line(self, words: list[str]) -> None:
        """Read one node or one edge."""
        if words[-1] != "0" or len(words) < 3:
            self.lines.fail("PC702", "not a valid D4 line", "end each line with 0")
        if words[0] in _KINDS and len(words) == 3:
            number = self.lines.integer(words[1], "the id")
            if number in self.kinds:
                self.lines.fail("PC704", f"node {number} is declared twice", "restore the file")
            self.kinds[number] = words[0]
            self.edges[number] = []
            self.declared[number] = (self.lines.number, self.lines.line)
            return
        source, target, *literals = (self.lines.integer(w, "a number") for w in words[:-1])
        self.arcs.append((source, target, tuple(literals), self.lines.number, self.lines.line))

    def connect(self) -> None:
        """Give each node its edges, which may come before it in the file."""
        for source, target, literals, line_number, line in self.arcs:
            self.lines.number, self.lines.line = line_number, line
            for number in (source, target):
                if number not in self.kinds:
                    self.lines.fail("PC704", f"node {number} is not declared", "declare it")
            if self.kinds[source] in "tf":
                self.lines.fail("PC704", f"constant node {source} has an edge", "remove the edge")
            self.edges[source].append((target, literals))

    def at(self, number: int) -> None:
        """Report errors at the line of this node from now on."""
        self.lines.number, self.lines.line = self.declared[number]

    def make(self, number: int) -> int:
        """Make a node after its children."""
        kind = self.kinds[number]
        if kind in "tf":
            return TRUE if kind == "t" else FALSE
        parts = [
            self.both([self.nodes[child], *(self.literal(x) for x in literals)])
            for child, literals in self.edges[number]
        ]
        return self.either(parts) if kind == "o" else self.both(parts)
