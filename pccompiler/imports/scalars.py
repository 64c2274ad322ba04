"""Builds circuits of scalar nodes, for readers of files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np

from pccompiler.errors import ImportFormatError
from pccompiler.imports.formats.lines import Lines
from pccompiler.ir import Circuit, Family, Kind, Variable, WeightTable
from pccompiler.ir.arrays import Float, Int, segments
from pccompiler.ir.circuit import select
from pccompiler.ir.topology import reachable
from pccompiler.limits import current
from pccompiler.passes import findings

_MOST = 3
"""The most findings about a file that are reported."""
_WAYS_OUT = {
    "PC101": "in the file, multiply the child by leaves over what it lacks",
    "PC102": "in the file, give the children disjoint variables",
}


class Scalars:
    """Nodes of one unit with given weights. Operands come before their nodes.

    Args:
        variables: Variables of the circuit; may be set later.
        lines: The file that is read, if any; a new node gets its current line as location.
    """

    def __init__(self, variables: Sequence[Variable], lines: Lines | None = None) -> None:
        self.variables = tuple(variables)
        self._lines = lines
        self._line: list[int] = []
        self._columns: list[tuple[int, int, int]] = []
        self._operands: list[Sequence[int]] = []
        self._tables: dict[int, Float] = {}
        self._leaves: dict[tuple[int, tuple[float, ...]], int] = {}
        self._limits = current()
        self._edges = 0

    def leaf(self, variable: int, probabilities: Sequence[float]) -> int:
        """An input with the probability of each state; equal inputs are one node."""
        key = (variable, tuple(probabilities))
        if key not in self._leaves:
            binary = len(probabilities) == 2
            family = Family.BERNOULLI if binary else Family.CATEGORICAL
            given = [probabilities[1]] if binary else list(probabilities)
            self._leaves[key] = self._add(Kind.INPUT, family, variable, (), given)
        return self._leaves[key]

    def product(self, operands: Sequence[int]) -> int:
        """A product; a single operand is returned itself."""
        return operands[0] if len(operands) == 1 else self._add(Kind.PRODUCT, -1, -1, operands)

    def sum(self, operands: Sequence[int], weights: Sequence[float]) -> int:
        """A weighted sum; a single operand of weight 1 is returned itself."""
        if len(operands) == 1 and weights[0] == 1.0:
            return operands[0]
        return self._add(Kind.SUM, -1, -1, operands, weights)

    def _add(
        self,
        kind: Kind,
        family: int,
        variable: int,
        operands: Sequence[int],
        weights: Sequence[float] | None = None,
    ) -> int:
        node = len(self._columns)
        self._edges += len(operands) + (0 if weights is None else len(weights))
        if node >= self._limits.nodes or self._edges > self._limits.edges:
            self._refuse()
        self._columns.append((kind, family, variable))
        self._operands.append(operands)
        self._line.append(0 if self._lines is None else self._lines.number)
        if weights is not None:
            self._tables[node] = np.array([weights], np.float64)
        return node

    @property
    def _file(self) -> str:
        return "the network" if self._lines is None else str(self._lines.path)

    def _refuse(self) -> NoReturn:
        where = self._file if self._lines is None else f"{self._file}:{self._lines.number}"
        self._limits.check("nodes", len(self._columns) + 1, where)
        self._limits.check("edges", self._edges, where)
        raise AssertionError("one of the limits is exceeded")

    def circuit(self, root: int) -> Circuit:
        """The circuit below ``root``."""
        table = len(self._columns) * len(self.variables) // 8
        self._limits.check("scopes", table, self._file)
        columns = np.array(self._columns, np.int64).reshape(-1, 3)
        owners = np.array(list(self._tables), np.int64)
        weight = np.full(len(columns), -1)
        weight[owners] = np.arange(len(owners))
        tables = list(self._tables.values())
        sizes: Int = np.array([table.shape[1] for table in tables], np.int64)
        location, locations = self._locations()
        whole = Circuit(
            variables=self.variables,
            kind=columns[:, 0],
            units=np.ones(len(columns), np.int64),
            pointer=segments(np.array([len(row) for row in self._operands], np.int64)),
            operands=np.array([j for row in self._operands for j in row], np.int64),
            family=columns[:, 1],
            variable=columns[:, 2],
            weight=weight,
            root=root,
            weights=WeightTable(np.ones_like(sizes), sizes, {}, dict(enumerate(tables))),
            location=location,
            locations=locations,
        )
        return select(whole, reachable(whole))

    def _locations(self) -> tuple[Int | None, tuple[str, ...]]:
        """The line of the file that declared each node."""
        if self._lines is None:
            return None, ()
        numbers, places = np.unique(np.array(self._line, np.int64), return_inverse=True)
        return places, tuple(f"{self._lines.path}:{number}" for number in numbers.tolist())


def check(circuit: Circuit, lines: Lines, apart_from: Collection[str] = ()) -> Circuit:
    """The circuit, if it is well-formed.

    Raises:
        ImportFormatError: Has the findings, and the lines of the file that they are about.
    """
    found = [finding for finding in findings(circuit) if finding.code not in apart_from]
    if found:
        raise ImportFormatError(
            replace(
                finding,
                code="PC712",
                location=finding.location or str(lines.path),
                notes=(*lines.shown(finding.location), *finding.notes),
                help=_WAYS_OUT.get(finding.code, finding.help),
            )
            for finding in found[:_MOST]
        )
    return circuit
