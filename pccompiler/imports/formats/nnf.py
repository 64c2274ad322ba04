"""Reads d-DNNF files (``.nnf``) of the compilers c2d and D4."""

from __future__ import annotations

from pathlib import Path

from pccompiler.errors import ImportFormatError
from pccompiler.imports.formats.d4 import D4Reader, is_d4
from pccompiler.imports.formats.logic import ListReader, Weights
from pccompiler.ir import Circuit


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
    if is_d4(Path(path)):
        return D4Reader(Path(path), variables).read(weights or {})
    if variables is not None:
        raise ImportFormatError.of(
            "PC749",
            f"variables={variables} was given, but the header of the file has the number",
            location=str(path),
            help="leave it out; it is only for files of D4",
        )
    return _C2dReader(Path(path)).read(weights or {})


class _C2dReader(ListReader):
    header, counts = "nnf", 3

    def begin(self, counts: list[int]) -> None:
        """Take the number of variables from the header."""
        self.most, self.whole = self.bounded(counts[2]), True

    def node(self, kind: str, numbers: list[int]) -> tuple[int, int]:
        """The node of one line; nodes are numbered from 0."""
        return len(self.nodes), self.made(kind, numbers)

    def made(self, kind: str, numbers: list[int]) -> int:
        """A literal, a conjunction or a disjunction."""
        if kind == "L" and len(numbers) == 1:
            return self.literal(numbers[0])
        if kind == "A" and numbers and len(numbers) == 1 + numbers[0]:
            return self.both([self.known(i) for i in numbers[1:]])
        if kind == "O" and len(numbers) > 1 and len(numbers) == 2 + numbers[1]:
            return self.either([self.known(i) for i in numbers[2:]])
        self.lines.fail("PC702", "not a valid NNF line", "write L, A or O lines")
