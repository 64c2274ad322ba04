"""Reads logic circuits (``.sdd`` and ``.nnf`` files) as weighted model counters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np

from pccompiler.errors import CircuitError, ImportFormatError
from pccompiler.imports.formats.lines import Lines
from pccompiler.imports.formats.vtree import Vtree, read_vtree
from pccompiler.imports.scalars import Scalars, check
from pccompiler.ir import Circuit, Kind, binary
from pccompiler.passes import NormalizeWeights, Smooth
from pccompiler.passes.rewriting.constants import normalize

TRUE, FALSE = -1, -2
"""Ids of constants, which are never nodes."""
_NO_MASS = "PC140"
"""The error code for normalizing a circuit that is 0 everywhere."""
Weights = Mapping[int, float]


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
    return LogicReader(Path(path), "sdd", tree).read(weights or {})


def read_nnf(
    path: str | Path, *, weights: Weights | None = None, variables: int | None = None
) -> Circuit:
    """Read a d-DNNF in the format of c2d or D4.

    c2d has a line ``nnf nodes edges variables``, then ``L``, ``A`` and ``O`` lines. D4 has nodes,
    ``o 1 0``, ``a 2 0``, ``t 3 0`` and ``f 4 0``, and edges: ``1 2 3 -4 0`` goes from node 1 to
    node 2 with literals 3 and -4. Node 1 is the root.

    Result and errors are those of `read_sdd`. A formula that is not deterministic gives the sum
    over its derivations instead.

    Args:
        path: The file.
        weights: See `read_sdd`.
        variables: Number of variables, which files of D4 do not contain; at least, and by default,
            the highest literal. Variables without a literal are free.

    Source:
        Darwiche and Marquis (2002), "A Knowledge Compilation Map"; Lagniez and Marquis (2017), "An
        Improved Decision-DNNF Compiler".
    """
    from pccompiler.imports.formats.d4 import D4Reader, is_d4  # it imports this module

    if is_d4(Path(path)):
        return D4Reader(Path(path), variables).read(weights or {})
    if variables is not None:
        raise ImportFormatError.of(
            "PC749",
            f"variables={variables} was given, but the header of the file has the number",
            location=str(path),
            help="leave it out; it is only for files of D4",
        )
    return LogicReader(Path(path), "nnf").read(weights or {})


class LogicReader:
    """Reads the nodes of a formula, children first."""

    def __init__(self, path: Path, kind: str, tree: Vtree | None = None) -> None:
        self.lines = Lines(path, "c")
        self.kind = kind
        self.tree = tree
        self.most = 0 if tree is None else len(tree.leaves)
        self.whole = tree is not None
        self.nodes: dict[int, int] = {}
        self.places: dict[int, int] = {}
        self.scalars = Scalars((), self.lines)
        self.root = FALSE

    def read(self, weights: Weights) -> Circuit:
        """The circuit of the last node, times the weights."""
        count: int | None = None
        for words in self.lines:
            if words[0] == self.kind and count is None:
                numbers = [self.lines.integer(word, "a count") for word in words[1:]]
                if len(numbers) != (3 if self.kind == "nnf" else 1):
                    self.lines.fail("PC702", "not a valid header", "see docs/imports.md")
                count = numbers[0]
                if self.kind == "nnf":
                    self.most, self.whole = self.bounded(numbers[2]), True
            else:
                self.node(words)
        self.lines.count(len(self.nodes), count)
        if self.root == FALSE and self.nodes:
            raise self.no_model("has no model")
        if not (self.nodes and self.most):
            what = "variables" if self.nodes else "nodes"
            self.lines.fail("PC705", f"the file has no {what}", "fetch it again", here=False)
        return self.finish(weights)

    def bounded(self, variables: int) -> int:
        """The number of variables, if it is sensible."""
        if variables < 0:
            self.lines.fail("PC702", f"{variables} variables are declared", "see docs/imports.md")
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

    def node(self, words: list[str]) -> None:
        """Read the node of one line."""
        numbers = [self.lines.integer(word, "an id") for word in words[1:]]
        if self.kind == "nnf":
            number = len(self.nodes)
            made = self.nnf(words[0], numbers)
        else:
            number = numbers[0] if numbers else -1
            if not numbers or number in self.nodes:
                self.lines.fail("PC704", f"node {number} has no unique id", "restore the file")
            made = self.sdd(words[0], numbers)
            if len(numbers) > 1:
                self.places[number] = numbers[1]
        self.nodes[number] = self.root = made

    def sdd(self, kind: str, numbers: list[int]) -> int:
        """A node of an SDD."""
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

    def nnf(self, kind: str, numbers: list[int]) -> int:
        """A node of c2d."""
        if kind == "L" and len(numbers) == 1:
            return self.literal(numbers[0])
        if kind == "A" and numbers and len(numbers) == 1 + numbers[0]:
            return self.both([self.known(i) for i in numbers[1:]])
        if kind == "O" and len(numbers) > 1 and len(numbers) == 2 + numbers[1]:
            return self.either([self.known(i) for i in numbers[2:]])
        self.lines.fail("PC702", "not a valid NNF line", "write L, A or O lines")

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
