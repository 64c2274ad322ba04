"""Reads Bayesian networks (``.bif`` files)."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from pccompiler.errors import ImportFormatError
from pccompiler.imports.bayesian.elimination import MOST_NODES, BayesianNetwork, compile_network
from pccompiler.imports.bayesian.orders import RESTARTS, Heuristic
from pccompiler.imports.formats.lines import ROUNDING, read_text
from pccompiler.ir import Circuit
from pccompiler.ir.arrays import Float
from pccompiler.limits import current

_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"[^"\n]*"|[{}()\[\],;|]|[^\s{}()\[\],;|"]+|"', re.DOTALL)


def read_bif(
    path: str | Path,
    *,
    order: Sequence[str] | Heuristic | None = None,
    restarts: int = RESTARTS,
    most_nodes: int | None = MOST_NODES,
) -> Circuit:
    """Read a Bayesian network and compile it exactly.

    Args:
        path: The file.
        order: The elimination order, see `compile_network`.
        restarts: How many further orders are tried.
        most_nodes: The most nodes of the circuit; ``None``: no limit.

    Raises:
        ImportFormatError: Names the file, line and column that is wrong, or says that the network
            is too dense to compile.
    """
    network = read_network(path)
    return compile_network(network, order, restarts=restarts, most_nodes=most_nodes)


def read_network(path: str | Path) -> BayesianNetwork:
    """Read a Bayesian network over discrete variables, in the Bayesian Interchange Format.

    Raises:
        ImportFormatError: Names the file, line and column that is wrong.
    """
    file = Path(path)
    return _Reader(file, read_text(file)).read()


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text
        self.limits = current()
        matches = itertools.islice(_TOKEN.finditer(text), self.limits.edges + 1)
        found = [_Token(m.group(), m.start()) for m in matches]
        self.limits.check("edges", len(found), path)
        self.tokens = [t for t in found if not t.text.startswith(("//", "/*"))]
        self.place = 0
        self.states: dict[str, tuple[str, ...]] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.tables: dict[str, Float] = {}

    def fail(self, code: str, message: str, help: str, token: _Token | None = None) -> NoReturn:
        start = token.start if token is not None else len(self.text)
        line = self.text.count("\n", 0, start) + 1
        column = start - (self.text.rfind("\n", 0, start) + 1) + 1
        shown = self.text.splitlines()[line - 1].strip() if token is not None else ""
        raise ImportFormatError.of(
            code,
            message,
            location=f"{self.path}:{line}:{column}",
            notes=(shown[:200],) if shown else (),
            help=help,
        )

    def peek(self) -> str:
        return self.tokens[self.place].text if self.place < len(self.tokens) else ""

    def take(self, wanted: str = "") -> _Token:
        """The next token, which must be ``wanted`` if that is given."""
        if self.place >= len(self.tokens):
            self.fail("PC730", "the file ends too early", "it may be cut short; fetch it again")
        token = self.tokens[self.place]
        if wanted and token.text != wanted:
            self.fail("PC731", f"expected {wanted!r}, found {token.text!r}", "correct it", token)
        self.place += 1
        return token

    def read(self) -> BayesianNetwork:
        sections = {
            "network": self.network,
            "variable": self.variable,
            "probability": self.probability,
        }
        while self.place < len(self.tokens):
            token = self.take()
            if token.text not in sections:
                self.fail("PC731", f"{token.text!r} is not a section", "use network, variable or "
                          "probability", token)  # fmt: skip
            sections[token.text]()
        if not self.states:
            self.fail("PC730", "the file declares no variables", "give a .bif file")
        missing = [name for name in self.states if name not in self.tables]
        if missing:
            self.fail("PC732", f"variable {missing[0]!r} has no probabilities",
                      "give it a probability section")  # fmt: skip
        return BayesianNetwork(self.states, self.parents, self.tables)

    def network(self) -> None:
        while self.peek() != "{":
            self.take()
        self.skip_block()

    def skip_block(self) -> None:
        self.take("{")
        while self.take().text != "}":
            pass

    def variable(self) -> None:
        name = self.take()
        if name.text in self.states:
            self.fail("PC733", f"variable {name.text!r} is declared twice", "rename one", name)
        self.take("{")
        while self.peek() != "}":
            word = self.take()
            if word.text == "type":
                self.states[name.text] = self.type(word)
            elif word.text == "property":
                while self.take().text != ";":
                    pass
            else:
                self.fail("PC731", f"unknown entry {word.text!r} of a variable", "use type", word)
        self.take("}")
        if name.text not in self.states:
            self.fail("PC732", f"variable {name.text!r} has no type", "give one", name)

    def type(self, at: _Token) -> tuple[str, ...]:
        self.take("discrete")
        self.take("[")
        size = self.take()
        if size.text.isdecimal() and len(size.text) < 19:
            self.limits.check("states", int(size.text), self.path)
        self.take("]")
        self.take("{")
        states: list[str] = []
        while self.peek() != "}":
            states.append(self.take().text.strip('"'))
            if self.peek() == ",":
                self.take()
        self.take("}")
        self.take(";")
        if size.text != str(len(states)) or len(set(states)) != len(states) or len(states) < 2:
            self.fail("PC734", f"{len(states)} states are listed, not {size.text} different ones",
                      "list at least two states, each once", at)  # fmt: skip
        return tuple(states)

    def known(self) -> str:
        token = self.take()
        if token.text not in self.states:
            self.fail("PC735", f"unknown variable {token.text!r}", "declare it first", token)
        return token.text

    def probability(self) -> None:
        self.take("(")
        start = self.tokens[self.place] if self.place < len(self.tokens) else None
        name = self.known()
        if name in self.tables:
            self.fail("PC733", f"{name!r} has probabilities twice", "remove one", start)
        parents: list[str] = []
        if self.peek() == "|":
            self.take()
            parents.append(self.known())
        while self.peek() == ",":
            self.take()
            parents.append(self.known())
        self.take(")")
        if len({name, *parents}) != len(parents) + 1:
            self.fail("PC733", f"{name!r} is its own parent or repeats one", "remove it", start)
        shape = [len(self.states[v]) for v in (*parents, name)]
        self.limits.check("edges", math.prod(shape), self.path)
        table = np.full(shape, np.nan)
        self.take("{")
        while self.peek() != "}":
            self.row(table, parents, shape)
        self.take("}")
        if np.isnan(table).any():
            self.fail("PC732", f"{name!r} lacks probabilities for some states of its parents",
                      "give a row for each", start)  # fmt: skip
        total = table.sum(axis=-1, keepdims=True)
        if (table < 0).any() or (np.abs(total - 1.0) > ROUNDING).any():
            worst = float(total.flat[int(np.argmax(np.abs(total - 1.0)))])
            self.fail("PC736", f"a row of {name!r} sums to {worst:.9g}",
                      "give probabilities that sum to 1", start)  # fmt: skip
        self.parents[name] = tuple(parents)
        self.tables[name] = table / total

    def row(self, table: Float, parents: list[str], shape: list[int]) -> None:
        word = self.take()
        if word.text == "table":
            values = self.numbers()
            if len(values) != table.size:
                self.fail("PC734", f"the table has {len(values)} numbers, not {table.size}",
                          "give one for each state", word)  # fmt: skip
            if parents:  # the child's state varies slowest in a table
                table[...] = np.moveaxis(np.reshape(values, [shape[-1], *shape[:-1]]), 0, -1)
            else:
                table[...] = values
        elif word.text == "default":
            table[np.isnan(table)] = np.broadcast_to(self.sized(shape, word), shape)[
                np.isnan(table)
            ]
        elif word.text == "property":
            while self.take().text != ";":
                pass
        elif word.text == "(":
            index = [self.state(parent) for parent in parents[:1]]
            for parent in parents[1:]:
                self.take(",")
                index.append(self.state(parent))
            self.take(")")
            table[tuple(index)] = self.sized(shape, word)
        else:
            self.fail("PC731", f"{word.text!r} does not start a row of probabilities",
                      "write 'table ...;' or '(STATES) ...;'", word)  # fmt: skip

    def state(self, parent: str) -> int:
        token = self.take()
        names = self.states[parent]
        if token.text.strip('"') not in names:
            self.fail("PC735", f"{token.text!r} is not a state of {parent!r}",
                      "use one of: " + ", ".join(names[:8]), token)  # fmt: skip
        return names.index(token.text.strip('"'))

    def sized(self, shape: list[int], at: _Token) -> list[float]:
        values = self.numbers()
        if len(values) != shape[-1]:
            self.fail("PC734", f"the row has {len(values)} numbers, not {shape[-1]}",
                      "give one for each state", at)  # fmt: skip
        return values

    def numbers(self) -> list[float]:
        values: list[float] = []
        while self.peek() != ";":
            token = self.take()
            try:
                value = float(token.text)
            except ValueError:
                value = np.nan
            if not np.isfinite(value):
                self.fail("PC737", f"{token.text!r} is not a number", "write decimals", token)
            values.append(value)
            if self.peek() == ",":
                self.take()
        self.take(";")
        return values
