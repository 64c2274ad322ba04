"""Parses the text form (docs/reference/grammar.md); `pccompiler.ir.text.printer` writes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from pccompiler.errors import Diagnostic, OptionError, ParseError, closest
from pccompiler.ir.arrays import Float
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.families.base import Family, find
from pccompiler.ir.generators import Sectors
from pccompiler.ir.generators.base import Option
from pccompiler.ir.generators.registry import GENERATORS
from pccompiler.ir.kinds import SUMS, Kind
from pccompiler.ir.names import ALPHABET, is_name
from pccompiler.ir.text.assemble import Statements
from pccompiler.ir.text.printer import HEADER
from pccompiler.ir.variables import binary, categorical, count, real
from pccompiler.limits import current

T = TypeVar("T")
_KINDS = {kind.keyword: kind for kind in Kind}
_MOST_FINDINGS = 20


def parse(
    text: str, source: str = "<text>", *, values: Mapping[str, Float] | None = None
) -> Circuit:
    """Read a circuit from its text form.

    Nodes may come in any order, as long as there is no cycle; they are numbered in the order of
    the text if that puts operands first.

    Args:
        text: As `to_text` writes it. ``#`` starts a comment; blank lines are skipped.
        source: Name of the text in error messages.
        values: Values by weight name or id, for weights without values in the text.

    Raises:
        ParseError: With all lines that cannot be read, up to 20, each with a caret at the word.
        CircuitError: If the nodes form a cycle.
        LimitError: If it takes more nodes, edges or sectors than `pccompiler.limits` allow.
        OptionError: If ``text`` is not a ``str``.
    """
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # untyped calls
        raise OptionError.of(
            "PC302",
            f"the text of a circuit is a str, not {type(text).__name__}",
            help="decode bytes: content.decode(); read a file by its path: read_circuit(PATH)",
        )
    parser = _Parser(source)
    parser.values = {label: (0, table) for label, table in (values or {}).items()}
    return parser.read(text)


class _Parser(Statements):
    """Reads a text statement by statement."""

    def read(self, text: str) -> Circuit:
        lines = text.removeprefix("\ufeff").splitlines()
        self.text = lines
        if not lines or lines[0].split("#")[0].strip() != HEADER:
            self.line_number, self.line = 1, lines[0] if lines else ""
            words = self.line.split()
            if len(words) == 2 and words[0] == "pcir":
                self.fail(
                    "PC201",
                    f"the text has version {words[1]!r}, but this pccompiler reads version 1",
                    "install a newer pccompiler, or print the circuit with version 1",
                )
            self.fail("PC201", "the text does not start with the version line", f"write {HEADER!r}")
        found: list[Diagnostic] = []
        for number, line in enumerate(lines[1:], 2):
            self.line_number, self.line = number, line
            words = line.split("#", 1)[0].split()
            if words:
                try:
                    self.statement(words)
                except ParseError as error:
                    found += error.diagnostics
                    if len(found) >= _MOST_FINDINGS:
                        break
        if found:
            raise ParseError(found)
        current().check("nodes", len(self.kind), self.source)
        current().check("edges", sum(map(len, self.operands)), self.source)
        current().check("scopes", len(self.kind) * len(self.domains) // 8, self.source)
        return self.finish()

    def statement(self, words: list[str]) -> None:
        if words[0][0] == "%":
            self.node(words)
            return
        statements: dict[str, Callable[[list[str]], None]] = {
            "variable": self.declare,
            "root": self.set_root,
            "weight": self.give_values,
            "sectors": self.set_sectors,
            "sector": self.add_sector,
            "generator": self.set_generator,
            "scale": self.set_scale,
            "weights": self.refer,
        }
        handler = statements.get(words[0])
        if handler is None:
            self.fail("PC202", f"unknown statement {words[0]!r}", closest(words[0], statements))
        handler(words[1:])

    def declare(self, words: list[str]) -> None:
        makers = {"binary": binary, "real": real, "count": count}
        if len(words) == 2 and words[1] in makers:
            variable = makers[words[1]](words[0])
        elif len(words) == 3 and words[1] == "categorical":
            states = self.integer(words[2])
            variable = self.checked(lambda: categorical(words[0], states))
        elif len(words) > 3 and words[1:3] == ["real", "edges"]:
            edges = [self.real(word) for word in words[3:]]
            variable = self.checked(lambda: real(words[0], edges))
        else:
            self.fail(
                "PC203",
                "a variable needs a name and a domain",
                "write 'variable NAME binary', '... categorical STATES', '... real' or '... count'",
            )
        self.check_name(variable.name)
        if variable.name in self.variables:
            self.fail("PC204", f"variable {variable.name!r} is declared twice", "rename one")
        self.variables[variable.name] = len(self.domains)
        self.domains.append(variable)

    def node(self, words: list[str]) -> None:
        if len(words) < 3 or words[1] != "=":
            self.fail("PC205", "a node needs a name, '=' and a kind", "write '%3 = product %1 %2'")
        kind = _KINDS.get(words[2])
        if kind is None:
            self.fail("PC205", f"unknown node kind {words[2]!r}", closest(words[2], _KINDS))
        if words[0] in self.nodes:
            first = self.lines[self.nodes[words[0]]]
            self.fail(
                "PC204", f"node {words[0]} is declared twice, first on line {first}", "rename one"
            )
        rest = words[3:]
        label = rest.pop()[1:] if rest and rest[-1][0] == "@" else None
        units = family = variable = -1
        if kind == Kind.INPUT:
            variable, family, units = self.input(rest)
            rest = []
        elif kind == Kind.SUM:
            if not rest:
                self.fail("PC205", "a sum needs a number of units", "write '%3 = sum 5 %1 %2 @w'")
            units = self.width(rest.pop(0))
        if any(word[0] != "%" or len(word) < 2 for word in rest):
            bad = next(word for word in rest if word[0] != "%" or len(word) < 2)
            self.fail("PC205", f"operand {bad!r} is not a node", "write operands as %name")
        wants_weight = kind in SUMS or family > Family.INDICATOR
        if wants_weight != (label is not None):
            message = "needs a weight at its end" if wants_weight else "cannot have a weight"
            way_out = "add one, such as @w" if wants_weight else f"remove @{label}"
            self.fail("PC206", f"this {words[2]} {message}", way_out)
        self.check_name(words[0][1:])
        if label is not None:
            self.check_name(label)
        self.nodes[words[0]] = len(self.kind)
        self.kind.append(kind)
        self.units.append(units)
        self.operands.append(rest)
        self.family.append(family)
        self.variable.append(variable)
        self.weight.append(label)
        self.lines.append(self.line_number)

    def check_name(self, name: str) -> None:
        if not is_name(name):
            self.fail("PC212", f"{name!r} is not a valid name", f"use {ALPHABET}")

    def input(self, words: list[str]) -> tuple[int, int, int]:
        if len(words) != 3:
            self.fail(
                "PC205",
                "an input needs a variable, a family and a number of units",
                "write '%0 = input rain bernoulli 5 @w'",
            )
        if words[0] not in self.variables:
            self.fail("PC207", f"unknown variable {words[0]!r}", closest(words[0], self.variables))
        family = find(words[1])
        if family is None:
            known = [family.keyword for family in Family]
            self.fail("PC207", f"unknown leaf family {words[1]!r}", closest(words[1], known))
        return self.variables[words[0]], family, self.width(words[2])

    def set_root(self, words: list[str]) -> None:
        if len(words) != 1:
            self.fail("PC208", "a root must be one node", "write 'root %3'")
        if self.root is not None:
            first = f"first on line {self.root_line}"
            self.fail("PC204", f"the root is declared twice, {first}", "remove one")
        self.root, self.root_line = words[0], self.line_number

    def set_scale(self, words: list[str]) -> None:
        if len(words) != 1:
            self.fail("PC208", "a scale must be one number", "write 'scale -1.5', a log in nats")
        if self.log_scale is not None:
            self.fail("PC204", "the scale is declared twice", "remove one")
        scale = self.real(words[0])
        if not math.isfinite(scale):
            self.fail("PC211", f"{words[0]!r} is not a valid scale", "write a finite number")
        self.log_scale = scale

    def refer(self, words: list[str]) -> None:
        self.fail(
            "PC213",
            "the text names a weights file, which parse() does not read",
            "read it by its path: pccompiler.ir.read_circuit(PATH)",
        )

    def give_values(self, words: list[str]) -> None:
        if len(words) < 2 or words[0][0] != "@":
            self.fail("PC209", "a weight needs a name and values", "write 'weight @w 0.3 0.7'")
        if words[0][1:] in self.values:
            first = f"first on line {self.values[words[0][1:]][0]}"
            self.fail("PC204", f"weight {words[0]} has values twice, {first}", "remove one")
        rows = [row.split() for row in " ".join(words[1:]).split(";")]
        try:
            table = np.array([[float(value) for value in row] for row in rows], np.float64)
        except ValueError:
            self.fail(
                "PC209", "the values are not a matrix of numbers", "separate equal rows with ';'"
            )
        self.values[words[0][1:]] = (self.line_number, table)

    def set_sectors(self, words: list[str]) -> None:
        options = self.options(words, ("by", "size", "mixtures"))
        by = options.get("by", "block")
        mixed = self.option("mixtures", options.get("mixtures", "false"), False)
        self.sectors = self.checked(
            lambda: Sectors(
                by=by,  # type: ignore[arg-type]  # checked by the class
                size=self.integer(options.get("size", "1")),
                mixtures=bool(mixed),
            )
        )

    def add_sector(self, words: list[str]) -> None:
        if len(words) != 4 or words[0][0] != "@":
            self.fail(
                "PC210",
                "a sector needs a weight, an offset, rows and columns",
                "write 'sector @w 0 5 2'",
            )
        offset, rows, columns = (self.integer(word) for word in words[1:])
        self.own_sectors.append((self.line_number, words[0], offset, rows, columns))

    def set_generator(self, words: list[str]) -> None:
        if not words or words[0] not in GENERATORS:
            known = " or ".join(f"'... {word}'" for word in GENERATORS)
            self.fail("PC202", "unknown generator", f"write {known.replace('...', 'generator', 1)}")
        make = GENERATORS[words[0]]
        defaults = make().options()
        given = self.options(words[1:], tuple(defaults))
        options = {n: self.option(n, given[n], like) for n, like in defaults.items() if n in given}
        self.generator = self.checked(lambda: make(**options))

    def option(self, name: str, word: str, like: Option) -> Option:
        """An option of a generator, of the type of its default."""
        if isinstance(like, bool):
            if word not in ("true", "false"):
                self.fail("PC210", f"{name} is {word!r}", "use 'true' or 'false'")
            return word == "true"
        if isinstance(like, tuple):
            return tuple(self.integer(width) for width in word.split("x") if word != "none")
        if isinstance(like, int):
            return self.integer(word)
        return self.real(word) if isinstance(like, float) else word

    def options(self, words: list[str], known: tuple[str, ...]) -> dict[str, str]:
        pairs = {name: value for name, _, value in (word.partition("=") for word in words)}
        for name, value in pairs.items():
            if name not in known or not value:
                self.fail("PC210", f"unknown option {name!r}", f"options: {', '.join(known)}")
        return pairs

    def checked(self, make: Callable[[], T]) -> T:
        try:
            return make()
        except OptionError as error:
            first = error.diagnostics[0]
            self.fail("PC210", first.message, first.help or "")
