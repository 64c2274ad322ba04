"""A random Bayesian network, like those that doctors and engineers draw."""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

import numpy as np

from pccompiler.bench.subjects.subject import Material, Subject
from pccompiler.imports.read import read

REACH = 4
"""Parents are among so many variables before, so that elimination stays small."""


def build(subject: Subject) -> Material:
    """A network of ``n`` variables of 2 to ``values`` states, each with at most two parents."""
    text = network(subject.n, subject.values)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.bif"
        path.write_text(text)
        return Material(read(path), None, {"network": text})


def network(n: int, most: int) -> str:
    """The network as BIF."""
    rng = np.random.default_rng(0)
    states = rng.integers(2, most + 1, n).tolist()
    variables = [_variable(i, states[i]) for i in range(n)]
    tables = [_table(rng, i, _parents(rng, i), states) for i in range(n)]
    return "".join(["network random {\n}\n", *variables, *tables])


def _parents(rng: np.random.Generator, i: int) -> list[int]:
    near = np.arange(max(0, i - REACH), i)
    found: list[int] = rng.permutation(near)[: rng.integers(1, 3)].tolist()
    return sorted(found)


def _variable(i: int, states: int) -> str:
    names = ", ".join(f"s{state}" for state in range(states))
    return f"variable x{i} {{\n  type discrete [ {states} ] {{ {names} }};\n}}\n"


def _table(rng: np.random.Generator, i: int, parents: list[int], states: list[int]) -> str:
    """The conditional probabilities of a variable, a line for each state of its parents."""
    given = f" | {', '.join(f'x{p}' for p in parents)}" if parents else ""
    lines: list[str] = []
    for chosen in product(*(range(states[p]) for p in parents)):
        row = ", ".join(f"{p:.6f}" for p in _distribution(rng, states[i]))
        head = f"({', '.join(f's{state}' for state in chosen)})" if parents else "table"
        lines.append(f"  {head} {row};\n")
    return f"probability ( x{i}{given} ) {{\n{''.join(lines)}}}\n"


def _distribution(rng: np.random.Generator, states: int) -> list[float]:
    """Millionths that add up to one, none of them zero."""
    counts = 1 + rng.multinomial(1_000_000 - states, rng.dirichlet(np.ones(states)))
    shares: list[float] = (counts / 1_000_000).tolist()
    return shares
