"""Reads probabilistic sentential decision diagrams (``.psdd`` files)."""

from __future__ import annotations

import math
from pathlib import Path

from pccompiler.imports.formats.lines import Lines
from pccompiler.imports.formats.vtree import Vtree, read_vtree
from pccompiler.imports.scalars import Scalars, check
from pccompiler.ir import Circuit, binary

_LOG_ROUNDING = 1e-6
"""Log-probabilities above 0 by at most this count as 0: they were rounded."""


def read_psdd(path: str | Path, vtree: str | Path | None = None) -> Circuit:
    """Read a PSDD as a scalar circuit over binary variables ``x1``, ``x2``, ...

    ``L id vtree literal``: the literal. ``T id vtree variable log(p)``: a Bernoulli variable, p of
    its positive literal (with two numbers, the negative literal's comes first). ``D id vtree n
    {prime sub log(p)}*``: a sum over n products. Probabilities match the file to the last digit,
    except that rounded rows (which sum to 1 only within 1e-3) are divided by their sum.

    Args:
        path: The file, which may be compressed with gzip. Its last node is the root.
        vtree: Its vtree, to check the file against; it is optional.

    Raises:
        ImportFormatError: Names the file and line that is wrong.

    Source:
        Kisa et al. (2014), "Probabilistic Sentential Decision Diagrams".
    """
    tree = None if vtree is None else read_vtree(vtree)
    return _Reader(Path(path), tree).read()


class _Reader:
    def __init__(self, path: Path, tree: Vtree | None) -> None:
        self.lines = Lines(path, "c")
        self.tree = tree
        self.nodes: dict[int, int] = {}
        self.places: dict[int, int] = {}
        self.scalars = Scalars((), self.lines)
        self.seen: set[int] = set()
        self.elements = 0
        self.last = -1

    def read(self) -> Circuit:
        lines, count = self.lines, None
        for words in lines:
            if words[0] == "psdd" and len(words) == 2 and count is None:
                count = lines.integer(words[1], "the number of nodes")
            elif words[0] in "LTD" and len(words[0]) == 1 and len(words) > 3:
                self.node(words)
            else:
                lines.fail("PC702", "not a valid PSDD line", "write L, T or D lines")
        if not self.nodes:
            lines.fail("PC705", "the file has no nodes", "fetch it again", here=False)
        lines.count(len(self.nodes), count, len(self.nodes) + self.elements)  # some count elements
        self.scalars.variables = tuple(binary(f"x{v}") for v in self.variables())
        circuit = self.scalars.circuit(self.nodes[self.last])
        self.check_root(circuit)
        return check(circuit, lines)

    def variables(self) -> list[int]:
        """The variables of the vtree, or of all nodes: 1, 2, ... without a gap."""
        if self.tree is not None:
            return self.tree.variables
        found = sorted(self.seen)
        absent = next((v for v, have in enumerate(found, 1) if v != have), None)
        if absent is not None:
            self.lines.fail(
                "PC704",
                f"no node has variable {absent}, but one has variable {found[absent - 1]}",
                "number the variables 1, 2, ..., or give the vtree",
                here=False,
            )
        return found

    def check_root(self, circuit: Circuit) -> None:
        """The last node must be over all variables; otherwise the file was cut short."""
        partial = len(circuit.scopes.variables(circuit.root)) < len(circuit.variables)
        if partial or (self.tree is not None and self.places[self.last] != self.tree.root):
            self.lines.fail(
                "PC705",
                f"node {self.last}, the last one, is not over all variables",
                "the file may be cut short; fetch it again",
                here=False,
            )

    def node(self, words: list[str]) -> None:
        node, place = (self.lines.integer(word, "an id") for word in words[1:3])
        if node in self.nodes:
            self.lines.fail("PC704", f"node {node} is declared twice", "restore the file")
        if self.tree is not None and place not in self.tree.spans:
            self.lines.fail(
                "PC706", f"vtree node {place} is not in the vtree", "give the vtree of this file"
            )
        make = {"L": self.literal, "T": self.true, "D": self.decision}[words[0]]
        self.nodes[node] = make(words, place)
        self.places[node] = place
        self.last = node

    def variable(self, word: str, place: int) -> tuple[int, bool]:
        """Column and sign of a literal."""
        literal = self.lines.integer(word, "the literal")
        if literal == 0:
            self.lines.fail("PC704", "0 is not a literal", "variables count from 1")
        if self.tree is not None and self.tree.leaves.get(place) != abs(literal):
            self.lines.fail(
                "PC706",
                f"vtree node {place} is not the leaf of variable {abs(literal)}",
                "give the vtree of this file",
            )
        self.seen.add(abs(literal))
        return abs(literal) - 1, literal > 0

    def literal(self, words: list[str], place: int) -> int:
        if len(words) != 4:
            self.lines.fail("PC702", "a literal needs 3 numbers", "write 'L id vtree literal'")
        variable, positive = self.variable(words[3], place)
        return self.scalars.leaf(variable, (0.0, 1.0) if positive else (1.0, 0.0))

    def true(self, words: list[str], place: int) -> int:
        if len(words) not in (5, 6):
            self.lines.fail("PC702", "a true node needs 4 numbers", "write 'T id vtree var log(p)'")
        variable, positive = self.variable(words[3], place)
        if not positive:
            self.lines.fail("PC704", f"{words[3]} is not a variable", "write it without its sign")
        logs = [self.lines.real(word, "the log-probability") for word in words[4:]]
        if max(logs) > _LOG_ROUNDING:
            self.lines.fail("PC707", f"log-probability {max(logs):g} is positive",
                            "give natural logarithms of probabilities")  # fmt: skip
        p = min(math.exp(logs[-1]), 1.0)
        if len(logs) == 2:
            return self.scalars.leaf(variable, self.lines.row([math.exp(logs[0]), p]))
        return self.scalars.leaf(variable, (1.0 - p, p))

    def decision(self, words: list[str], place: int) -> int:
        count = self.lines.integer(words[3], "the number of elements")
        if count < 1 or len(words) != 4 + 3 * count:
            self.lines.fail(
                "PC702", f"{len(words) - 4} words are not {count} elements of 3", "restore the line"
            )
        products: list[int] = []
        weights: list[float] = []
        for start in range(4, len(words), 3):
            pair = [self.operand(words[start + side], place, side) for side in (0, 1)]
            products.append(self.scalars.product(pair))
            log_p = self.lines.real(words[start + 2], "a log-probability")
            weights.append(math.exp(min(log_p, 700.0)))
        self.elements += count
        return self.scalars.sum(products, self.lines.row(weights))

    def operand(self, word: str, place: int, side: int) -> int:
        """A prime (side 0), which is under the left child of the vtree node, or a sub (1)."""
        node = self.lines.integer(word, "an operand")
        if node not in self.nodes:
            self.lines.fail("PC704", f"node {node} is not declared above", "write children first")
        if self.tree is not None and not self.tree.beneath(self.places[node], place, side):
            where = f"which is not under the {('left', 'right')[side]} child of {place}"
            self.lines.fail(
                "PC706",
                f"node {node} belongs to vtree node {self.places[node]}, {where}",
                "give the vtree of this file",
            )
        return self.nodes[node]
