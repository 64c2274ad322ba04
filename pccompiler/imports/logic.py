"""Logic circuits, ``.sdd`` and ``.nnf`` files, as weighted model counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pccompiler.errors import ImportFormatError
from pccompiler.imports.lines import Lines
from pccompiler.imports.scalars import Scalars
from pccompiler.imports.vtree import read_vtree
from pccompiler.ir import Circuit, binary
from pccompiler.passes import NormalizeWeights, Smooth, multiply

TRUE, FALSE = -1, -2
"""Constants: they are never nodes."""
Weights = Mapping[int, float]


def read_sdd(
    path: str | Path, vtree: str | Path | None = None, *, weights: Weights | None = None
) -> Circuit:
    """Read a sentential decision diagram: its value is 1 on models of the formula, else 0.

    Args:
        path: The file. Its last node is the root.
        vtree: Its vtree, which names the variables; without it, they are those up to the highest
            literal.
        weights: Literal to weight, 1 for those without; a model's value is then the product of
            its literals' weights. ``exp(log_scale)`` of the result is the weighted model count.

    Returns:
        A smooth circuit over binary variables ``x1``, ``x2``, ..., deterministic as the file is.

    Raises:
        ImportFormatError: Naming the file and line that is wrong, or if there is no model.

    Source:
        Darwiche (2011), "SDD: A New Canonical Representation of Propositional Knowledge Bases".
    """
    most = max(read_vtree(vtree).variables) if vtree is not None else 0
    return _Reader(Path(path), "sdd", most).read(weights or {})


def read_nnf(path: str | Path, *, weights: Weights | None = None) -> Circuit:
    """Read a d-DNNF as c2d writes it: ``nnf nodes edges variables``, ``L``, ``A`` and ``O`` lines.

    Args, result and errors are those of `read_sdd`. A formula that is not deterministic gives the
    sum over its derivations instead.

    Source:
        Darwiche and Marquis (2002), "A Knowledge Compilation Map".
    """
    return _Reader(Path(path), "nnf", 0).read(weights or {})


class _Reader:
    def __init__(self, path: Path, kind: str, most: int) -> None:
        self.lines = Lines(path, "c")
        self.kind = kind
        self.most = most
        self.whole = most > 0
        self.nodes: dict[int, int] = {}
        self.scalars = Scalars(())
        self.root = FALSE

    def read(self, weights: Weights) -> Circuit:
        count: int | None = None
        for words in self.lines:
            if words[0] == self.kind and count is None:
                numbers = [self.lines.integer(word, "a count") for word in words[1:]]
                count = numbers[0] if numbers else 0
                if self.kind == "nnf" and len(numbers) == 3:
                    self.most, self.whole = numbers[2], True
            else:
                self.node(words)
        if not self.nodes or count != len(self.nodes):
            self.lines.fail(
                "PC705",
                f"the file has {len(self.nodes)} nodes, its header says {count}",
                "it may be cut short; fetch it again",
                here=False,
            )
        return self.finish(weights)

    def finish(self, weights: Weights) -> Circuit:
        """Smooth and normalized, times the weights."""
        if self.root == FALSE:
            raise self.no_model()
        variables = [binary(f"x{v}") for v in range(1, self.most + 1)]
        self.scalars.variables = tuple(variables)
        if self.root == TRUE:
            return _factorized(self.most, weights)
        raw = self.scalars.circuit(self.root)
        circuit = NormalizeWeights()(Smooth(fill="one")(raw))
        if not weights:
            return circuit
        foreign = sorted(v for v in map(abs, weights) if not 0 < v <= self.most)
        if foreign:
            self.lines.fail("PC704", f"the weights name variable {foreign[0]}",
                            f"the file has variables 1 to {self.most}", here=False)  # fmt: skip
        return multiply(circuit, _factorized(self.most, weights))

    def no_model(self) -> ImportFormatError:
        return ImportFormatError.of(
            "PC710",
            f"the formula of {self.lines.path} has no model: its count is 0",
            help="a circuit cannot be normalized to a sum of 0; read a satisfiable formula",
        )

    def node(self, words: list[str]) -> None:
        numbers = [self.lines.integer(word, "an id") for word in words[1:]]
        if self.kind == "nnf":
            number = len(self.nodes)
            made = self.nnf(words[0], numbers)
        else:
            number = numbers[0] if numbers else -1
            if not numbers or number in self.nodes:
                self.lines.fail("PC704", f"node {number} has no id of its own", "restore the file")
            made = self.sdd(words[0], numbers)
        self.nodes[number] = self.root = made

    def sdd(self, kind: str, numbers: list[int]) -> int:
        if kind in "TF" and len(numbers) == 1:
            return TRUE if kind == "T" else FALSE
        if kind == "L" and len(numbers) == 3:
            return self.literal(numbers[2])
        if kind == "D" and len(numbers) > 2 and len(numbers) == 3 + 2 * numbers[2]:
            pairs = zip(numbers[3::2], numbers[4::2], strict=True)
            return self.either([self.both([self.known(i), self.known(j)]) for i, j in pairs])
        self.lines.fail("PC702", "this is no line of an SDD", "write F, T, L or D lines")

    def nnf(self, kind: str, numbers: list[int]) -> int:
        if kind == "L" and len(numbers) == 1:
            return self.literal(numbers[0])
        if kind == "A" and numbers and len(numbers) == 1 + numbers[0]:
            return self.both([self.known(i) for i in numbers[1:]])
        if kind == "O" and len(numbers) > 1 and len(numbers) == 2 + numbers[1]:
            return self.either([self.known(i) for i in numbers[2:]])
        self.lines.fail("PC702", "this is no line of an NNF", "write L, A or O lines")

    def literal(self, literal: int) -> int:
        if literal == 0 or (self.whole and abs(literal) > self.most):
            self.lines.fail("PC704", f"{literal} is no literal of {self.most} variables",
                            "variables count from 1")  # fmt: skip
        self.most = max(self.most, abs(literal))
        return self.scalars.leaf(abs(literal) - 1, (0.0, 1.0) if literal > 0 else (1.0, 0.0))

    def known(self, number: int) -> int:
        if number not in self.nodes:
            self.lines.fail("PC704", f"node {number} is not declared above", "write children first")
        return self.nodes[number]

    def both(self, operands: list[int]) -> int:
        if FALSE in operands:
            return FALSE
        rest = [node for node in operands if node != TRUE]
        return self.scalars.product(rest) if rest else TRUE

    def either(self, operands: list[int]) -> int:
        rest = [node for node in operands if node != FALSE]
        if TRUE in rest and len(rest) > 1:
            self.lines.fail(
                "PC708",
                "a disjunction with 'true' beside other operands is not deterministic",
                "simplify the formula",
            )
        if not rest or rest == [TRUE]:
            return TRUE if rest else FALSE
        return self.scalars.sum(rest, [1.0] * len(rest))


def _factorized(variables: int, weights: Weights) -> Circuit:
    """The product over variables of the weights of their literals."""
    scalars = Scalars([binary(f"x{v}") for v in range(1, variables + 1)])
    totals: list[float] = []
    leaves: list[int] = []
    for v in range(1, variables + 1):
        low, high = float(weights.get(-v, 1.0)), float(weights.get(v, 1.0))
        total = low + high
        if not (np.isfinite(total) and total > 0.0 and min(low, high) >= 0.0):
            raise ImportFormatError.of(
                "PC711",
                f"the weights of the literals of variable {v} are {low:g} and {high:g}",
                help="give finite weights, none negative and not both 0",
            )
        totals.append(total)
        leaves.append(scalars.leaf(v - 1, (low / total, high / total)))
    circuit = scalars.circuit(scalars.product(leaves))
    return circuit.replace(log_scale=float(np.log(totals).sum()))
