"""Posteriors and MAP of small Bayesian networks, beside pgmpy's variable elimination.

    python -m benchmarks.structures.pgmpy_queries [--networks sachs child alarm]

One row at a time, by the clock, everything included. The evidence is the first states of every
fourth variable, drawn from the network itself. pgmpy's answers are compared with ours. Its models
are those that come with it as files; install it beside the library (`pip install pgmpy`).
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.imports.read import read


def milliseconds(call: Callable[[], object], seconds: float = 1.0) -> float:
    """Median time of a call, over at least five and about a second."""
    call()
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < 5 or (time.perf_counter() < end and len(found) < 500):
        start = time.perf_counter()
        call()
        found.append(1e3 * (time.perf_counter() - start))
    return round(statistics.median(found), 4)


def if_possible(call: Callable[[], object]) -> float | None:
    """The time, or nothing if the peer asks for more memory than there is."""
    try:
        return milliseconds(call)
    except MemoryError:
        return None


def network_file(name: str, folder: Path) -> Path:
    """A network that comes with pgmpy, unpacked."""
    package = Path(str(importlib.import_module("pgmpy").__file__)).parent
    packed = package / "utils" / "example_models" / f"{name}.bif.gz"
    path = folder / f"{name}.bif"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


def measure(name: str, report: Report) -> None:
    """All queries of one network."""
    with tempfile.TemporaryDirectory() as folder:
        path = network_file(name, Path(folder))
        circuit = read(path)
        peer: Any = importlib.import_module("pgmpy.readwrite").BIFReader(str(path)).get_model()
    engine = importlib.import_module("pgmpy.inference").VariableElimination(peer)
    model = pc.compile(circuit)
    row = model.sample(1, seed=0)
    names = list(model.names)
    known = list(range(0, len(names), 4))
    evidence = torch.full_like(row, torch.nan)
    evidence[:, known] = row[:, known]
    states = {str(cpd.variable): cpd.state_names[cpd.variable] for cpd in peer.get_cpds()}
    given = {names[v]: states[names[v]][int(row[0, v])] for v in known}
    asked = [v for v in range(len(names)) if v not in known]

    def one(variable: int) -> Any:
        return engine.query([names[variable]], evidence=given, show_progress=False)

    found = model.posterior_marginals(evidence)
    apart = 0.0
    for variable in asked:
        theirs = one(variable).values
        mine = found.states[0, variable, : len(theirs)].numpy()
        apart = max(apart, float(np.abs(mine - theirs).max()))
    queries: dict[str, tuple[Callable[[], object], Callable[[], object] | None]] = {
        "log_likelihood": (lambda: model.log_likelihood(evidence), None),
        "posterior of one": (
            lambda: model.posterior_marginals(evidence, variables=asked[:1]),
            lambda: one(asked[0]),
        ),
        "posterior of all": (
            lambda: model.posterior_marginals(evidence),
            lambda: [one(variable) for variable in asked],
        ),
        "mpe": (
            lambda: model.mpe(evidence),
            lambda: engine.map_query(
                [names[v] for v in asked], evidence=given, show_progress=False
            ),
        ),
    }
    for query, (ours, theirs) in queries.items():
        with torch.no_grad():
            report.add(
                network=name,
                nodes=circuit.num_nodes,
                query=query,
                own_ms=milliseconds(ours),
                pgmpy_ms=None if theirs is None else if_possible(theirs),
                apart=apart,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--networks", nargs="*", default=["sachs", "child", "alarm"])
    options = parser.parse_args(arguments)
    report = Report("pgmpy_queries")
    for name in options.networks:
        measure(name, report)


if __name__ == "__main__":
    main()
