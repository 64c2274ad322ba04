"""Assembles the statements of a text into a circuit: ids, order, widths, weights."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter
from typing import NoReturn

import numpy as np

from pccompiler.errors import CircuitError, Diagnostic, ParseError, closest
from pccompiler.ir.arrays import Float, Int, segments
from pccompiler.ir.circuit import Circuit
from pccompiler.ir.families import Family
from pccompiler.ir.generators import Generator, Sectors
from pccompiler.ir.kinds import PRODUCTS, Kind
from pccompiler.ir.node_table import WeightTable
from pccompiler.ir.sectors import partition
from pccompiler.ir.sizes import MOST_UNITS
from pccompiler.ir.variables import Variable

_DIGITS = 1000
"""The most digits of an integer, leading zeros included: Python takes quadratic time to parse
them, and refuses more than 4,300."""


class Statements:
    """The declarations of the text so far, as columns in order of declaration."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.text: list[str] = []
        self.line_number = 0
        self.line = ""
        self.variables: dict[str, int] = {}
        self.domains: list[Variable] = []
        self.nodes: dict[str, int] = {}
        self.kind: list[int] = []
        self.units: list[int] = []
        self.operands: list[list[str]] = []
        self.family: list[int] = []
        self.variable: list[int] = []
        self.weight: list[str | None] = []
        self.lines: list[int] = []
        self.root: str | None = None
        self.root_line = 0
        self.values: dict[str, tuple[int, Float]] = {}
        self.sectors: Sectors | None = None
        self.own_sectors: list[tuple[int, str, int, int, int]] = []
        self.generator: Generator | None = None
        self.weight_ids: dict[str, int] = {}
        self.log_scale: float | None = None

    def fail(self, code: str, message: str, help: str, line: int | None = None) -> NoReturn:
        """Raise a `ParseError` at the current line or at another, with carets at the culprit.

        The culprit is the first word of the message that occurs in the line and is quoted, or names
        a node or a weight.
        """
        number = line or self.line_number
        text = self.text[number - 1] if 0 < number <= len(self.text) else self.line
        column, length = _culprit(message, text)
        shown = text.expandtabs(1).rstrip()
        excerpt = (shown, " " * (column - 1) + "^" * length) if shown else ()
        raise ParseError(
            (
                Diagnostic(
                    code=code,
                    message=message,
                    location=f"{self.source}:{number}:{column}",
                    excerpt=excerpt,
                    help=help,
                ),
            )
        )

    def integer(self, word: str) -> int:
        """Parse a nonnegative whole number."""
        if not word.isdecimal():
            self.fail("PC211", f"{word!r} is not a whole number", "write digits")
        if len(word) > _DIGITS or int(word) > MOST_UNITS:
            shown = word if len(word) < 40 else word[:40] + "..."
            self.fail("PC211", f"{shown!r} is too large", f"use at most {MOST_UNITS}")
        return int(word)

    def width(self, word: str) -> int:
        """Parse a number of units."""
        units = self.integer(word)
        if units < 1:
            self.fail("PC211", "a node cannot have 0 units", "give it at least 1 unit")
        return units

    def real(self, word: str) -> float:
        """Parse a number."""
        try:
            return float(word)
        except ValueError:
            self.fail("PC211", f"{word!r} is not a number", "write a decimal number")

    def finish(self) -> Circuit:
        """The circuit, after all lines have been read, with the sectors of its policy."""
        if self.root is None:
            self.fail("PC208", "the text names no root", "end it with 'root %NAME'")
        if self.root not in self.nodes:
            self.line_number, self.line = self.root_line, f"root {self.root}"
            self.fail("PC207", f"unknown node {self.root}", closest(self.root, self.nodes))
        below = self._resolve()
        order = self._order(below)
        new_id = np.empty(len(order), np.int64)
        new_id[order] = np.arange(len(order))
        return self._cut(self._assemble(order, new_id, [new_id[below[i]] for i in order]))

    def _cut(self, circuit: Circuit) -> Circuit:
        if self.own_sectors and (self.sectors is None or self.sectors.by != "own"):
            self.fail(
                "PC210",
                "the text lists sectors, but lacks the statement 'sectors by=own'",
                "add it, or remove the 'sector' lines",
                self.own_sectors[0][0],
            )
        if self.sectors is None or not self.own_sectors:
            return circuit if self.sectors is None else partition(circuit, self.sectors)
        labels = {f"@{label}": weight for label, weight in self.weight_ids.items()}
        for line, label, *_ in self.own_sectors:
            if label not in labels:
                self.fail("PC207", f"unknown weight {label}", closest(label, labels), line)
        table = [(labels[label], *block) for _, label, *block in self.own_sectors]
        columns = np.array(table, np.int64).T
        return partition(circuit, Sectors("own", 1, False, *columns))

    def _resolve(self) -> list[list[int]]:
        try:
            return [[self.nodes[name] for name in row] for row in self.operands]
        except KeyError as error:
            name = str(error.args[0])
            node = next(i for i, row in enumerate(self.operands) if name in row)
            self.fail("PC207", f"unknown node {name}", closest(name, self.nodes), self.lines[node])

    def _order(self, below: list[list[int]]) -> list[int]:
        if all(not row or max(row) < i for i, row in enumerate(below)):
            return list(range(len(below)))
        try:
            return list(TopologicalSorter(dict(enumerate(below))).static_order())
        except CycleError as error:
            labels = list(self.nodes)
            cycle: list[int] = error.args[1][::-1]
            raise CircuitError.of(
                "PC108",
                "the circuit has a cycle: " + " -> ".join(labels[i] for i in cycle),
                location=f"{self.source}:{self.lines[cycle[0]]}",
                notes=[f"{labels[i]}, {self.source}:{self.lines[i]}" for i in sorted(set(cycle))],
                help="a node cannot depend on itself: remove an operand of one of these nodes",
            ) from None

    def _assemble(self, order: list[int], new_id: Int, below: list[Int]) -> Circuit:
        units = self._widths(order, below)
        weight_ids = self.weight_ids
        shapes: list[tuple[int, int]] = []
        weight: list[int] = []
        for node, i in enumerate(order):
            label = self.weight[i]
            if label is not None and label not in weight_ids:
                weight_ids[label] = len(shapes)
                shapes.append((units[node], self._columns(i, below[node], units)))
            weight.append(-1 if label is None else weight_ids[label])
        labels = list(self.nodes)
        rows = np.array(shapes, np.int64).reshape(-1, 2)
        return Circuit(
            variables=tuple(self.domains),
            kind=np.array(self.kind)[order],
            units=np.array(units),
            pointer=segments(np.array([len(row) for row in below])),
            operands=np.concatenate([np.zeros(0, np.int64), *below]),
            family=np.array(self.family)[order],
            variable=np.array(self.variable)[order],
            weight=np.array(weight),
            root=int(new_id[self.nodes[str(self.root)]]),
            weights=WeightTable(
                rows[:, 0],
                rows[:, 1],
                {i: label for label, i in weight_ids.items() if not label.isdigit()},
                self._given(weight_ids, shapes),
            ),
            names={
                node: labels[i][1:] for node, i in enumerate(order) if not labels[i][1:].isdigit()
            },
            location=np.arange(len(order)),
            locations=tuple(f"{self.source}:{self.lines[i]}" for i in order),
            generator=self.generator,
            log_scale=self.log_scale or 0.0,
        )

    def _widths(self, order: list[int], below: list[Int]) -> list[int]:
        units: list[int] = []
        labels = list(self.nodes)
        for node, i in enumerate(order):
            width = self.units[i]
            if width < 0:
                operands = [units[j] for j in below[node].tolist()]
                product = PRODUCTS.get(self.kind[i])
                width = product.width(operands) if product else (operands or [0])[0]
                if product and width > MOST_UNITS:
                    name = f"{Kind(self.kind[i]).keyword} {labels[i]}"
                    product.units(operands, name, f"{self.source}:{self.lines[i]}")
            units.append(width)
        return units

    def _columns(self, i: int, below: Int, units: list[int]) -> int:
        if self.kind[i] == Kind.INPUT:
            return Family(self.family[i]).columns(self.domains[self.variable[i]])
        if self.kind[i] == Kind.MIXTURE:
            return len(below)
        return sum(units[j] for j in below.tolist())

    def _given(self, ids: dict[str, int], shapes: list[tuple[int, int]]) -> dict[int, Float]:
        values: dict[int, Float] = {}
        for label, (line, table) in self.values.items():
            if label not in ids:
                self.fail(
                    "PC207",
                    f"unknown weight @{label}",
                    closest(f"@{label}", [f"@{i}" for i in ids]),
                    line,
                )
            if table.shape != shapes[ids[label]]:
                rows, columns = shapes[ids[label]]
                self.fail(
                    "PC209",
                    f"weight @{label} has shape {' x '.join(map(str, table.shape))}, "
                    f"but its node needs {rows} x {columns}",
                    "give one row per unit, separated by ';'",
                    line,
                )
            values[ids[label]] = table
        return values


def _culprit(message: str, line: str) -> tuple[int, int]:
    """Column (from 1) and length of the word that a message quotes, or of the line's first word."""
    for match in _QUOTED.finditer(message):
        word = next(group for group in match.groups() if group)
        found = re.search(rf"(?<!\S){re.escape(word)}(?!\S)", line) or re.search(
            re.escape(word), line
        )
        if found:
            return found.start() + 1, len(word)
    first = re.search(r"\S+", line)
    return (first.start() + 1, len(first.group())) if first else (1, 1)


_QUOTED = re.compile(r"'([^']+)'|([%@][\w.\-\[\]]+)")
