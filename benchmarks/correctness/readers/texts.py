"""Small valid texts, and texts that are compressed or in two parts."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

import numpy as np

from pccompiler.ir import Circuit, read_circuit, to_text
from pccompiler.passes import verify
from pccompiler.testing import random_circuit
from pccompiler.testing.mutants import damage, mutated_text

Rng = np.random.Generator


def imported(path: Path) -> Circuit:
    """Read a file with ``imports.read``."""
    from pccompiler.imports import read

    return read(path)


def checked_text(path: Path) -> Circuit:
    """A text with its weights file, if it names one; checked."""
    circuit = read_circuit(path)
    verify(circuit)  # the check refuses invalid circuits in the text form
    return circuit


@cache
def circuits() -> list[bytes]:
    """Random circuits as text, and one with every statement."""
    made = [to_text(random_circuit(np.random.default_rng(i), 3)).encode() for i in range(12)]
    return [*made, STATEMENTS.encode()]


STATEMENTS = """pcir 1
variable rain binary
variable cloud categorical 3
variable wind real
variable drops count
variable level real edges 0 1 2.5 4
sectors by=rows size=2
generator hypernetwork embedding=3 hidden=4x4
%a = input rain bernoulli 2 @a
%b = input cloud categorical 2 @b
%c = input wind gaussian 2 @c
%d = input drops poisson 2 @d
%e = input level histogram 2 @e
%f = input rain indicator 2
%p = product %a %b %c %d %e
%k = product %f %b %c %d %e
%s = sum 2 %p %k @s
%m = mixture %s %p @m
%root = sum 1 %m @r
weight @a 0.25 ; 0.5
weight @b 0.25 0.25 0.5 ; 0.5 0.25 0.25
weight @c 0 1 ; 2 3
weight @d 1 ; 2.5
root %root
"""
PSDD = """c a comment
psdd 5
L 1 0 1
L 2 0 -1
T 3 2 2 -0.2876820724517809
L 4 2 2
D 5 1 2 1 3 -0.5108256237659907 2 4 -0.916290731874155
"""
VTREE = "vtree 3\nL 0 1\nL 2 2\nI 1 0 2\n"
SPN = """# a mixture
0 + 1 0.25 2 0.75
1 * 3 4
2 * 5 6
3 categorical 1 0.3 0.7
4 i 2 1
5 c 1 0.5 0.5
6 categorical 2 0.2 0.3 0.5
"""
SDD = "sdd 5\nL 1 0 1\nL 3 2 -2\nL 5 2 2\nL 7 0 -1\nD 0 1 2 1 3 7 5\n"
D4 = "o 1 0\na 2 0\nt 3 0\n1 3 -1 2 0\n1 2 1 0\n2 3 -2 0\n"
NNF = "nnf 7 6 3\nL 1\nL 2\nA 2 0 1\nL -1\nL 3\nA 2 3 4\nO 1 2 2 5\n"
BIF = """network unknown { }
variable rain { type discrete [ 2 ] { yes, no }; }
variable cloud { type discrete [ 3 ] { low, "middle", high }; property x = 1; }
variable wet { type discrete [ 2 ] { yes, no }; }
probability ( rain ) { table 0.2, 0.8; }
probability ( cloud | rain ) { (yes) 0.2, 0.3, 0.5; default 0.25, 0.25, 0.5; }
probability ( wet | rain, cloud ) {
  (yes, low) 0.5, 0.5; (yes, middle) 1.0, 0.0; default 0.25, 0.75;
}
"""
CSV = "rain,cloud\n1,0\n0,2\n,?\n1,nan\n0.5,1e3\n"


def psdd(content: bytes, folder: Path) -> object:
    """A PSDD with its vtree, both parts of the content."""
    first, _, second = content.partition(b"---\n")
    (folder / "a.psdd").write_bytes(first)
    (folder / "a.vtree").write_bytes(second)
    return imported(folder / "a.psdd")


def sdd(content: bytes, folder: Path) -> object:
    """An SDD with its vtree, both parts of the content."""
    first, _, second = content.partition(b"---\n")
    (folder / "a.sdd").write_bytes(first)
    (folder / "a.vtree").write_bytes(second)
    return imported(folder / "a.sdd")


def vtree(path: Path) -> object:
    """Read a vtree like the importers."""
    from pccompiler.imports import read_vtree

    return read_vtree(path)


def passes_vtree(path: Path) -> object:
    """Read a vtree like the passes."""
    from pccompiler.passes.analysis.vtrees.find import Vtree

    return Vtree.read(path)


def gz_mutant(content: bytes, rng: Rng) -> bytes:
    """Damage compressed bytes, or the text before compression."""
    if rng.random() < 0.5:
        return damage(content, rng)
    return gzip.compress(mutated_text(gzip.decompress(content), rng), 1)


def gz_seeds() -> list[bytes]:
    """A compressed text."""
    return [gzip.compress(SPN.encode(), 1)]


WORDS = (
    "check,sectors{by=block},hypernet{embedding=5,hidden=20x20}",
    "condition{evidence=x0:1;x1:0,normalize=true}",
    "marginalize{variables=x0;x1},prune,merge,share,smooth{fill=one},normalize,square",
    "sectors{by=size,size=3,mixtures=true},direct{floor=1e-6,allocation=reference}",
)
