"""Bayesian networks: seconds to read a ``.bif`` file, to compile it to a circuit, and to a model.

``window`` networks are dense: each variable has parents among the few before it, a tenth of the
probabilities is 0. ``copies`` networks have a clique of millions of joint states, of which a few
are possible.

    python -m benchmarks.structures.bayesian_networks [--small] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import itertools
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.imports import BayesianNetwork, compile_network, read_network

Made = tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]], dict[str, np.ndarray]]


def window(variables: int, states: int, reach: tuple[int, ...], seed: int = 0) -> BayesianNetwork:
    """Variable i has variables i - j, j in ``reach``, as parents."""
    rng = np.random.default_rng(seed)
    names = [f"v{i}" for i in range(variables)]
    parents = {name: tuple(names[i - j] for j in reach if i >= j) for i, name in enumerate(names)}
    tables: dict[str, np.ndarray] = {}
    for name in names:
        shape = (states,) * (len(parents[name]) + 1)
        table = rng.gamma(1.0, size=shape) * (rng.random(shape) < 0.9)
        table[..., 0] += 0.1
        tables[name] = table / table.sum(axis=-1, keepdims=True)
    return BayesianNetwork(dict.fromkeys(names, _states(states)), parents, tables)


def copies(number: int, states: int, seed: int = 0) -> BayesianNetwork:
    """A root, permutations of its state, and for each pair of those a variable that sees both."""
    rng = np.random.default_rng(seed)
    names = ["root", *(f"d{i}" for i in range(number))]
    tables = {"root": rng.dirichlet(np.ones(states))}
    parents: dict[str, tuple[str, ...]] = {"root": ()}
    for name in names[1:]:
        parents[name] = ("root",)
        tables[name] = np.eye(states)[rng.permutation(states)]
    for a, b in itertools.combinations(names[1:], 2):
        parents[f"{a}_{b}"] = (a, b)
        tables[f"{a}_{b}"] = rng.dirichlet(np.ones(2), (states, states))
    sizes = {name: states if name in names else 2 for name in parents}
    return BayesianNetwork({n: _states(size) for n, size in sizes.items()}, parents, tables)


def _states(number: int) -> tuple[str, ...]:
    return tuple(f"s{i}" for i in range(number))


def write_bif(network: BayesianNetwork, path: Path) -> Path:
    """The network as a ``.bif`` file."""
    lines = ["network made { }"]
    for name, states in network.states.items():
        lines.append(
            f"variable {name} {{ type discrete [ {len(states)} ] {{ {', '.join(states)} }}; }}"
        )
    for name, parents in network.parents.items():
        given = f" | {', '.join(parents)}" if parents else ""
        lines.append(f"probability ( {name}{given} ) {{")
        table = network.tables[name]
        for index in np.ndindex(*table.shape[:-1]):
            at = ", ".join(network.states[p][i] for p, i in zip(parents, index, strict=True))
            values = ", ".join(repr(value) for value in table[index].tolist())
            lines.append(f"  ({at}) {values};" if parents else f"  table {values};")
        lines.append("}")
    path.write_text("\n".join(lines) + "\n")
    return path


CASES: dict[str, Callable[[], BayesianNetwork]] = {
    "window-small": lambda: window(60, 3, (1, 3, 4)),
    "window": lambda: window(445, 4, (1, 3, 5)),
    "copies": lambda: copies(6, 10),
}


def measure(name: str, report: Report) -> None:
    """One case: read, compile to a circuit, compile to a model."""
    network = CASES[name]()
    with tempfile.TemporaryDirectory() as folder:
        path = write_bif(network, Path(folder) / "network.bif")
        start = time.perf_counter()
        found = read_network(path)
        read = time.perf_counter()
        circuit = compile_network(found)
        made = time.perf_counter()
        pc.compile(circuit)
        done = time.perf_counter()
    report.add(
        case=name,
        variables=len(network.states),
        nodes=circuit.num_nodes,
        edges=len(circuit.operands),
        read_s=round(read - start, 3),
        circuit_s=round(made - read, 3),
        model_s=round(done - made, 3),
    )


def main() -> None:
    """Measure every case, or the small ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="leave the large network out")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    options = parser.parse_args()
    report = Report("bayesian_networks")
    for name in CASES:
        if options.small and name == "window":
            continue
        profile = cProfile.Profile()
        if options.profile:
            profile.enable()
        measure(name, report)
        profile.disable()
        if options.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
