"""Circuits match their files: each format's own definition, evaluated line by line."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pccompiler.imports import read, read_nnf, read_sdd
from pccompiler.ir import Circuit, parse, to_text
from pccompiler.ir.arrays import Float
from pccompiler.passes.analysis.equivalence import _masses
from pccompiler.testing import worlds

Find = Callable[[str], Path]
Rows = np.ndarray[tuple[int, int], np.dtype[np.int64]]
Literals = Mapping[int, Fraction]


def words(path: Path) -> Iterator[list[str]]:
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    for line in text.splitlines():
        found = line.split("#")[0].split()
        if found and found[0] not in ("c", "psdd", "sdd", "nnf"):
            yield found


def psdd(path: Path, rows: Rows) -> Float:
    """Kisa et al. (2014), definition 3: literals hold or not, T is Bernoulli, D mixes elements."""
    values: dict[str, Float] = {}
    last = ""
    for kind, last, _, *rest in words(path):
        state = rows[:, abs(int(rest[0])) - 1] if kind != "D" else rows[:, 0]
        if kind == "L":
            values[last] = (state == (int(rest[0]) > 0)).astype(np.float64)
        elif kind == "T":
            p = math.exp(float(rest[-1]))
            values[last] = np.where(state == 1, p, 1.0 - p)
        else:
            elements = zip(rest[1::3], rest[2::3], rest[3::3], strict=True)
            parts = [values[p] * values[s] * math.exp(float(log)) for p, s, log in elements]
            values[last] = np.sum(parts, axis=0)
    return values[last]


def spn(path: Path, rows: Rows) -> Float:
    """Sums, products and leaves, children first (they have the larger numbers in all samples)."""
    lines = [line if line[0].isdigit() else [line[1], line[0], *line[2:]] for line in words(path)]
    values: dict[int, Float] = {}
    for number, kind, *rest in sorted(lines, key=lambda line: -int(line[0])):
        if kind == "+":
            pairs = zip(rest[::2], rest[1::2], strict=True)
            made = np.sum([values[int(j)] * float(w) for j, w in pairs], axis=0)
        elif kind == "*":
            made = np.prod([values[int(j)] for j in rest], axis=0)
        else:
            state = rows[:, int(rest[0]) - 1]
            table = np.array([float(word) for word in rest[1:]])
            made = table[state] if kind == "categorical" else state + 1 == table[0]
        values[int(number)] = np.asarray(made, np.float64)
    return values[1]


def logic(path: Path, weights: Literals) -> Fraction:
    """Weight of all models over that of all worlds: sound for decomposable, deterministic files."""
    values: dict[int, Fraction] = {}
    last = 0
    for place, (kind, *rest) in enumerate(words(path)):
        last = place if path.suffix == ".nnf" else int(rest.pop(0))
        numbers = [int(word) for word in rest]
        if kind == "L":
            literal = numbers[-1]
            values[last] = weights[literal] / (weights[literal] + weights[-literal])
        elif kind in "TF":
            values[last] = Fraction(kind == "T")
        elif kind == "A":
            values[last] = math.prod((values[j] for j in numbers[1:]), start=Fraction(1))
        elif kind == "O":
            values[last] = sum((values[j] for j in numbers[2:]), Fraction(0))
        else:
            pairs = zip(numbers[2::2], numbers[3::2], strict=True)
            values[last] = sum((values[p] * values[s] for p, s in pairs), Fraction(0))
    return values[last]


def rows_of(circuit: Circuit, number: int = 500) -> Rows:
    """All worlds if they are few, otherwise random ones."""
    if math.prod(v.cardinality for v in circuit.variables) <= 4096:
        return np.asarray(worlds(circuit), np.int64)
    return np.random.default_rng(0).integers(0, 2, (number, len(circuit.variables)))


PSDDS = ("asia.uai", "little_4var", "msnbc", "nltcs.clt", "nltcs", "simple2.1", "simple2.4")
SPNS = ("coins.spn", "hmm.spn", "nltcs.spn.gz", "small.spn", "test.spn", "xor.spn")


@pytest.mark.parametrize(
    "name", [*(f"{name}.psdd" for name in (*PSDDS, "coins", "test", "tretail")), *SPNS]
)
def test_distributions(name: str, sample: Find) -> None:
    path = sample(name)
    circuit = read(path)
    rows = rows_of(circuit)
    want = (psdd if path.suffix == ".psdd" else spn)(path, rows)
    relative = (
        5e-6 if path.name == "asia.uai.psdd" else 1e-9
    )  # asia has 6 digits; we divide by sums
    np.testing.assert_allclose(_masses(circuit, rows.astype(float)), want, rtol=relative, atol=0)


def test_a_network_in_two_formats(sample: Find) -> None:
    """A single logarithm in T lines belongs to the positive literal, despite the file's header."""
    network, circuit = read(sample("asia.bif.gz")), read(sample("asia.uai.psdd"))
    order = ["smoke", "asia", "bronc", "lung", "tub", "either", "xray", "dysp"]
    names = [v.name for v in network.variables]
    rows = worlds(circuit).astype(float)
    same = rows[:, [order.index(name) for name in names]]
    np.testing.assert_allclose(_masses(circuit, rows), _masses(network, same), atol=5e-7)


@pytest.mark.parametrize(
    "name", ["xor-8.sdd", "ranking-3.sdd", "alarm.sdd", "test.sdd", "test.cnf.nnf"]
)
def test_counts(name: str, sample: Find) -> None:
    path = sample(name)
    circuit = read(path)
    size = len(circuit.variables)
    count = logic(path, dict.fromkeys([*range(-size, 0), *range(1, size + 1)], Fraction(1)))
    assert circuit.log_scale == pytest.approx(math.log(count * 2**size), rel=1e-12)
    rng = np.random.default_rng(0)
    draws = rng.integers(1, 8, (2, size + 1)).tolist()
    weights = {
        v * sign: Fraction(draws[sign > 0][v], 4) for v in range(1, size + 1) for sign in (-1, 1)
    }
    weighted = logic(path, weights)
    total = math.prod((weights[v] + weights[-v] for v in range(1, size + 1)), start=Fraction(1))
    given = {literal: float(weight) for literal, weight in weights.items()}
    vtree = path.with_suffix(".vtree")
    if path.suffix == ".nnf":
        made = read_nnf(path, weights=given)
    else:
        made = read_sdd(path, vtree if vtree.exists() else None, weights=given)
    wanted = math.log(weighted.numerator) - math.log(weighted.denominator) + math.log(total)
    assert made.log_scale == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("name", ["xor-8.sdd", "ranking-3.sdd", "test.sdd", "test.cnf.nnf"])
def test_every_world_has_its_weight(name: str, sample: Find) -> None:
    """A world's literals have weight 1, all others 0: the count is 1 on models, otherwise 0."""
    path = sample(name)
    circuit = read(path)
    rows = rows_of(circuit)
    weights = [
        {
            v * sign: Fraction((sign > 0) == row[v - 1])
            for v in range(1, len(row) + 1)
            for sign in (-1, 1)
        }
        for row in rows.tolist()
    ]
    want = [float(logic(path, row)) for row in weights]
    np.testing.assert_allclose(_masses(circuit, rows.astype(float)), want, atol=1e-12)


@pytest.mark.parametrize("name", ["nltcs.psdd", "tretail.psdd", "nltcs.spn.gz", "alarm.sdd"])
def test_the_text_form_holds_them(name: str, sample: Find) -> None:
    circuit = read(sample(name))
    assert parse(to_text(circuit)) == circuit
