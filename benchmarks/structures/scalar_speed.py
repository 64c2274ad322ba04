"""Scalar circuits forward and backward: imported, and of about a million edges, packed or not.

    python -m benchmarks.structures.scalar_speed [--device cuda] [--folder ../shared/circuits]

The engine that the model chooses beside plain torch operations, in one process; on CUDA both are
CUDA graphs. "one_row_ms" is `log_likelihood` of one row by the clock, everything included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

import pccompiler as pc
from benchmarks.common import Report
from benchmarks.structures.coverage import packed
from pccompiler.bench.kinds.registry import run_of
from pccompiler.bench.timing import times_of
from pccompiler.imports.read import read
from pccompiler.ir import Circuit
from pccompiler.testing.random_circuits import rows
from pccompiler.testing.scalar_circuits import chain_circuit, scalar_circuit, tree_circuit
from pccompiler.torch_backend.engines.questions import Wanted

FILES = ("nltcs.psdd", "msnbc.psdd", "nltcs.clt.psdd")


def circuits(folder: Path) -> Iterator[tuple[str, Circuit, int]]:
    """Name, circuit and batch."""
    for name in FILES:
        if (folder / name).exists():
            yield name, read(folder / name), 3236
    yield "layered, 100,000 edges", scalar_circuit(100_000), 512
    yield "layered, 1,000,000 edges", scalar_circuit(1_000_000), 512
    yield "tree, 100,000 edges", tree_circuit(100_000), 512
    yield "chain, 100,000 edges", chain_circuit(100_000), 512


def one_row_ms(model: pc.CompiledCircuit, x: torch.Tensor) -> float:
    """The median time of a call with one row."""
    times: list[float] = []
    with torch.no_grad():
        for _ in range(50):
            start = time.perf_counter()
            model.log_likelihood(x)
            if x.is_cuda:
                torch.cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)[25]


def measure(circuit: Circuit, device: str, batch: int) -> dict[str, object]:
    """Engine and times."""
    x = torch.from_numpy(rows(circuit, 0, batch, missing=0.0)).float().to(device)
    found: dict[str, object] = {"nodes": circuit.num_nodes}
    for name in ("own", "plain"):
        model = pc.compile(circuit, device=device)
        if name == "plain":
            model.without_kernels()
        else:
            found["engine"] = model.engines.choose(Wanted.GRADIENT).name
        for direction in ("forward", "gradients"):
            run = run_of(model, x, batch, direction)
            found[f"{name}_{direction}_ms"] = round(times_of(run, device, None).median, 4)
        found[f"{name}_one_row_ms"] = round(one_row_ms(model, x[:1]), 4)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, default=Path("../shared/circuits"))
    options = parser.parse_args(arguments)
    report = Report(f"scalar_{options.device}")
    for name, circuit, batch in circuits(options.folder):
        for stage, made in (("as read", circuit), ("packed", packed(circuit))):
            line = measure(made, options.device, batch)
            report.add(circuit=name, stage=stage, batch=batch, **line)


if __name__ == "__main__":
    main()
