"""Files of D4 against brute force, their errors, and ``.spn`` files that count from 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import ImportFormatError, PCCompilerError
from pccompiler.imports import read, read_nnf, read_spn
from pccompiler.passes import verify
from pccompiler.testing import density

Golden = Callable[[str], None]
Clauses = list[list[int]]
FORMULA = "o 1 0\no 2 0\na 3 0\nt 4 0\n1 2 1 0\n1 3 -1 0\n2 4 2 0\n2 4 -2 3 0\n3 4 4 0\n3 2 0\n"
"""(1 and (2 or 3)) or (not 1 and 4 and (2 or 3))."""


def compiled(clauses: Clauses, number: int) -> str:
    """The formula in D4's format: decisions in order, literals on edges, not smoothed."""
    lines: list[str] = ["o 1 0"]
    edges: list[str] = []
    count = [1]

    def new(kind: str) -> int:
        count[0] += 1
        lines.append(f"{kind} {count[0]} 0")
        return count[0]

    def write(left: Clauses, variable: int) -> int:
        if any(not clause for clause in left):
            return new("f")
        if not left:
            return new("t")
        node = new("o")
        decide(node, left, variable)
        return node

    def decide(node: int, left: Clauses, variable: int) -> None:
        while all(variable not in map(abs, clause) for clause in left):
            variable += 1
        for literal in (variable, -variable):
            rest = [[x for x in c if x != -literal] for c in left if literal not in c]
            edges.append(f"{node} {write(rest, variable + 1)} {literal} 0")

    if any(not clause for clause in clauses) or not clauses:
        edges.append(f"1 {write(clauses, 1)} 0")
    else:
        decide(1, clauses, 1)
    return "\n".join([*lines, *edges]) + "\n"


@st.composite
def formulas(draw: st.DrawFn) -> tuple[Clauses, int]:
    number = draw(st.integers(1, 5))
    literal = st.integers(1, number).flatmap(lambda v: st.sampled_from([v, -v]))
    clause = st.lists(literal, min_size=1, max_size=3, unique_by=abs)
    return draw(st.lists(clause, max_size=5)), number


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("d4")


@given(formulas(), st.integers(0, 999))
def test_counts_and_values(folder: Path, formula: tuple[Clauses, int], seed: int) -> None:
    clauses, number = formula
    path = folder / "formula.ddnnf"
    path.write_text(compiled(clauses, number))
    drawn = np.random.default_rng(seed).uniform(0.1, 2.0, (number, 2))
    weights = {s * (v + 1): drawn[v, int(s > 0)] for v in range(number) for s in (1, -1)}
    models = [
        world
        for world in product((0, 1), repeat=number)
        if all(any(world[abs(x) - 1] == (x > 0) for x in clause) for clause in clauses)
    ]
    if not models:
        with pytest.raises(ImportFormatError, match="PC710"):
            read_nnf(path, variables=number)
        return
    circuit = read_nnf(path, variables=number)
    verify(circuit)
    assert math.exp(circuit.log_scale) == pytest.approx(len(models), rel=1e-12)
    scale = math.exp(circuit.log_scale)
    for world in product((0, 1), repeat=number):
        value = scale * density(circuit.replace(log_scale=0.0), np.array(world, float))
        assert value == pytest.approx(float(world in models), rel=1e-12, abs=1e-300)
    weighted = read_nnf(path, weights=weights, variables=number)
    want = sum(math.prod(float(drawn[v, s]) for v, s in enumerate(world)) for world in models)
    assert math.exp(weighted.log_scale) == pytest.approx(want, rel=1e-12)


def test_a_small_file(tmp_path: Path) -> None:
    """(2 or 3) and (1 or 4): 3 times 3 models; variable 5 is free."""
    for name in ("a.ddnnf", "a.nnf"):
        path = tmp_path / name
        path.write_text(FORMULA)
        assert math.exp(read(path).log_scale) == pytest.approx(9.0)
    assert math.exp(read_nnf(path, variables=5).log_scale) == pytest.approx(18.0)


BAD = {
    "no-root": "o 2 0\nt 3 0\n2 3 1 0\n",
    "not-ended": "o 1 0\nt 2 0\n1 2 1\n",
    "twice": "o 1 0\no 1 0\n",
    "undeclared": "o 1 0\n1 2 1 0\n",
    "cycle": "o 1 0\no 2 0\n1 2 1 0\n2 1 2 0\n",
    "constant": "o 1 0\nt 2 0\n1 2 1 0\n2 1 0\n",
    "false": "o 1 0\nf 2 0\n1 2 1 0\n",
    "no-variables": "o 1 0\nt 2 0\n1 2 0\n",
    "not-decomposable": "a 1 0\nt 2 0\n1 2 1 0\n1 2 -1 2 0\n",
    "word": "o 1 0\nt 2 0\n1 2 x 0\n",
    "many": "o 1 0\nt 2 0\n1 2 123456789 0\n",
}


@pytest.mark.parametrize("name", BAD)
def test_errors(tmp_path: Path, name: str, golden: Golden) -> None:
    path = tmp_path / "a.ddnnf"
    path.write_text(BAD[name])
    with pytest.raises(ImportFormatError) as caught:
        read(path)
    golden(str(caught.value).replace(str(tmp_path), "FOLDER"))


def test_too_few_variables(tmp_path: Path) -> None:
    path = tmp_path / "a.nnf"
    path.write_text(FORMULA)
    with pytest.raises(ImportFormatError, match="PC704"):
        read_nnf(path, variables=3)
    path.write_text("nnf 1 0 1\nL 1\n")
    with pytest.raises(ImportFormatError, match="PC749"):
        read_nnf(path, variables=3)


PIECES = st.sampled_from(["", "0", "9", "-", " ", "\n", "t", "x"])


@given(st.lists(st.tuples(st.integers(0, 90), PIECES), min_size=1, max_size=4))
def test_mutated_files(folder: Path, changes: list[tuple[int, str]]) -> None:
    text = FORMULA
    for place, piece in changes:
        at = place % (len(text) + 1)
        text = text[:at] + piece + text[at + 1 :]
    path = folder / "mutated.ddnnf"
    path.write_text(text)
    try:
        verify(read(path))
    except PCCompilerError:
        return


ONE = "1 + 2 0.25 3 0.75\n2 * 4 5\n3 * 6 7\n4 i 1 1\n5 i 2 3\n6 i 1 2\n7 i 2 1\n"
ZERO = (
    "indicator 6 1 0\nindicator 5 0 1\nindicator 4 1 2\nindicator 3 0 0\n* 2 5 6\n* 1 3 4\n"
    "+ 0 1 0.25 2 0.75\n"
)


def test_spn_files_that_count_from_0(tmp_path: Path) -> None:
    """Files written by pyspn; the same network as the file that counts from 1."""
    values = []
    for name, text in (("one", ONE), ("zero", ZERO)):
        path = tmp_path / f"{name}.spn"
        path.write_text(text)
        circuit = read_spn(path)
        assert [str(v) for v in circuit.variables] == [
            "binary with 2 states",
            "categorical with 3 states",
        ]
        rows = np.array(list(product((0, 1), (0, 1, 2))), float)
        values.append([density(circuit, row) for row in rows])
    assert values[0] == values[1] == [0.0, 0.0, 0.25, 0.75, 0.0, 0.0]


@pytest.mark.parametrize(
    "text",
    [
        "* 0 1 2\nindicator 1 0 1\nindicator 2 1 1\n",  # states 1 of variables 0 and 1
        "* 0 1 2\nindicator 1 1 0\nindicator 2 2 0\n",
    ],
)
def test_spn_files_that_count_from_0_and_1(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.spn"
    path.write_text(text)
    with pytest.raises(ImportFormatError, match=r"PC704.*count from"):
        read_spn(path)
