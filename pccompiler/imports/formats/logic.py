"""The common part of readers of logic circuits, which are read as weighted model counters."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from pccompiler.errors import CircuitError, ImportFormatError
from pccompiler.imports.formats.lines import Lines
from pccompiler.imports.scalars import Scalars, check
from pccompiler.ir import Circuit, Kind, binary
from pccompiler.passes import NormalizeWeights, Smooth
from pccompiler.passes.rewriting.constants import normalize

TRUE, FALSE = -1, -2
"""Ids of constants, which are never nodes."""
_NO_MASS = "PC140"
"""The error code for normalizing a circuit that is 0 everywhere."""
Weights = Mapping[int, float]


class LogicReader:
    """Makes the nodes of a formula, children first."""

    def __init__(self, path: Path) -> None:
        self.lines = Lines(path, "c")
        self.most = 0
        self.whole = False  # whether ``most`` is the number of variables, not just a lower bound
        self.nodes: dict[int, int] = {}
        self.scalars = Scalars((), self.lines)
        self.root = FALSE

    def bounded(self, variables: int) -> int:
        """The number of variables, if it is sensible."""
        if variables < 0:
            self.lines.fail(
                "PC702", f"{variables} variables are declared", "see docs/howto/imports.md"
            )
        self.lines.most("variables", variables)  # a single number must not fill the memory
        return variables

    def finish(self, weights: Weights) -> Circuit:
        """The circuit, smooth, normalized and times the weights."""
        foreign = sorted(v for v in map(abs, weights) if not 0 < v <= self.most)
        if foreign:
            self.lines.fail("PC704", f"the weights name variable {foreign[0]}",
                            f"the file has variables 1 to {self.most}", here=False)  # fmt: skip
        try:
            return _weighted(self.unweighted(), weights) if weights else self.unweighted()
        except CircuitError as error:
            if error.diagnostics[0].code != _NO_MASS:
                raise
            raise self.no_model("has no model of positive weight") from None

    def unweighted(self) -> Circuit:
        """The circuit, smooth and normalized, with value 1 on models (``log_scale`` included)."""
        self.scalars.variables = tuple(binary(f"x{v}") for v in range(1, self.most + 1))
        if self.root == TRUE:
            root = self.scalars.product(
                [self.scalars.leaf(v, (0.5, 0.5)) for v in range(self.most)]
            )
            free = self.scalars.circuit(root)
            return free.replace(log_scale=self.most * math.log(2.0))
        unmended = ("PC101", "PC105", "PC106", "PC109")  # the next two passes repair these
        raw = check(self.scalars.circuit(self.root), self.lines, unmended)
        self.lines.limits.check("edges", len(raw.operands) + _lacking(raw), self.lines.path)
        return NormalizeWeights()(Smooth(fill="one")(raw))

    def no_model(self, why: str) -> ImportFormatError:
        """The error for a model count of 0."""
        return ImportFormatError.of(
            "PC710",
            f"the formula {why}: its count is 0",
            location=str(self.lines.path),
            help="read a formula with a model of positive weight; a circuit needs a positive sum",
        )

    def literal(self, literal: int) -> int:
        """The leaf that is 1 where the literal holds."""
        if literal == 0 or (self.whole and abs(literal) > self.most):
            self.lines.fail("PC704", f"{literal} is not a literal of {self.most} variables",
                            "variables count from 1")  # fmt: skip
        self.most = max(self.most, self.bounded(abs(literal)) if not self.whole else 0)
        return self.scalars.leaf(abs(literal) - 1, (0.0, 1.0) if literal > 0 else (1.0, 0.0))

    def known(self, number: int) -> int:
        """A node that was declared above."""
        if number not in self.nodes:
            self.lines.fail("PC704", f"node {number} is not declared above", "write children first")
        return self.nodes[number]

    def both(self, operands: list[int]) -> int:
        """The conjunction."""
        if FALSE in operands:
            return FALSE
        rest = [node for node in operands if node != TRUE]
        return self.scalars.product(rest) if rest else TRUE

    def either(self, operands: list[int]) -> int:
        """The disjunction, which must be deterministic."""
        rest = [node for node in operands if node != FALSE]
        if TRUE in rest and len(rest) > 1:
            self.lines.fail(
                "PC708",
                "a disjunction of 'true' and other operands is not deterministic",
                "simplify the formula",
            )
        if not rest or rest == [TRUE]:
            return TRUE if rest else FALSE
        return self.scalars.sum(rest, [1.0] * len(rest))


class ListReader(LogicReader, ABC):
    """Reads a header with counts, then one node per line."""

    header: ClassVar[str]
    """The first word of the header."""
    counts: ClassVar[int]
    """How many numbers follow it; the first is the number of nodes."""

    def read(self, weights: Weights) -> Circuit:
        """The circuit of the last node, times the weights."""
        count: int | None = None
        for words in self.lines:
            if words[0] == self.header and count is None:
                numbers = [self.lines.integer(word, "a count") for word in words[1:]]
                if len(numbers) != self.counts:
                    self.lines.fail("PC702", "not a valid header", "see docs/howto/imports.md")
                count = numbers[0]
                self.begin(numbers)
            else:
                numbers = [self.lines.integer(word, "an id") for word in words[1:]]
                number, self.root = self.node(words[0], numbers)
                self.nodes[number] = self.root
        self.lines.count(len(self.nodes), count)
        if self.root == FALSE and self.nodes:
            raise self.no_model("has no model")
        if not (self.nodes and self.most):
            what = "variables" if self.nodes else "nodes"
            self.lines.fail("PC705", f"the file has no {what}", "fetch it again", here=False)
        return self.finish(weights)

    def begin(self, counts: list[int]) -> None:
        """Use the counts of the header."""

    @abstractmethod
    def node(self, kind: str, numbers: list[int]) -> tuple[int, int]:
        """The id of the node of one line, and the node."""


def _lacking(circuit: Circuit) -> int:
    """An upper bound for the number of inputs that `Smooth` adds."""
    size = circuit.scopes.sizes()
    sums = np.flatnonzero(circuit.kind == Kind.SUM)
    below = circuit.operands[circuit.edges_of(sums)]
    between = np.repeat(size[sums], circuit.fan_in[sums]) - size[below]
    return int(between.sum()) + len(circuit.variables) - int(size[circuit.root])


def _weighted(circuit: Circuit, weights: Weights) -> Circuit:
    """The circuit times the weights of each world's literals.

    Each leaf absorbs the weights of its variable; its new constant is pushed up into the scale.
    """
    low, high = (
        np.array([weights.get(sign * v, 1.0) for v in range(1, len(circuit.variables) + 1)], float)
        for sign in (-1, 1)
    )
    wrong = ~(np.isfinite(low) & np.isfinite(high) & (low >= 0.0) & (high >= 0.0))
    wrong |= (low == 0.0) & (high == 0.0)
    for v in np.flatnonzero(wrong).tolist():
        raise ImportFormatError.of(
            "PC711",
            f"the weights of the literals of variable {v + 1} are {low[v]:g} and {high[v]:g}",
            help="give finite, non-negative weights that are not both 0",
        )
    inputs = np.flatnonzero(circuit.kind == Kind.INPUT)
    owned, over = circuit.weight[inputs].tolist(), circuit.variable[inputs]
    p = np.array([circuit.weights.values[weight][0, 0] for weight in owned])
    total = (1.0 - p) * low[over] + p * high[over]
    mended = np.where(total > 0.0, p * high[over] / np.where(total > 0.0, total, 1.0), p)
    values = {w: np.array([[q]]) for w, q in zip(owned, mended.tolist(), strict=True)}
    constants = np.zeros(circuit.num_nodes)
    with np.errstate(divide="ignore"):
        constants[inputs] = np.log(total)
    return normalize(circuit.with_values({**circuit.weights.values, **values}), constants)
