"""Scalar circuits of other programs: number of layers, and speed of evaluation.

    python -m benchmarks.structures.packing --spflow spflow-env/bin/python

Circuits and data are read from ../shared. Each file is evaluated as read, and after the passes
share, merge and pack; by torch (without gradients; and one training step of 500 rows), by ONNX
Runtime, node by node in NumPy, and, in its own environment, by SPFlow. Then large generated
circuits are checked, packed and planned, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

import pccompiler as pc
from benchmarks.common import Report
from benchmarks.structures.node_by_node import NodeByNode
from pccompiler.bench.timing import times_of
from pccompiler.imports.read import read
from pccompiler.ir import Circuit
from pccompiler.onnx_backend import OnnxModel
from pccompiler.passes import MergeNested, ShareEqual, plan, verify
from pccompiler.passes.transforms.pack.pack import Pack
from pccompiler.testing.scalar_circuits import chain_circuit, scalar_circuit, tree_circuit

SHARED = Path(__file__).parents[3] / "shared"
FILES = {"nltcs.psdd": -6.0448, "msnbc.psdd": -6.0580, "nltcs.spn.gz": -6.0786}
"""Mean test log-likelihoods measured by the files' authors and others."""
MAKERS: dict[str, Callable[[int], Circuit]] = {  # not one of them has fewer edges than asked for
    "layered": lambda edges: scalar_circuit(round(1.1 * edges)),
    "tree": lambda edges: tree_circuit(round(2.1 * edges)),
    "chain": lambda edges: chain_circuit(round(1.4 * edges)),
}
Float = NDArray[np.float64]


def timed(work: Callable[[], Circuit]) -> tuple[Circuit, float]:
    """A circuit and the seconds that it took."""
    start = time.perf_counter()
    return work(), round(time.perf_counter() - start, 3)


def evaluate(circuit: Circuit, x: Float, repeats: int) -> dict[str, float | int | list[float]]:
    """Layers, seconds and milliseconds per 1,000 rows; ``values``: log-likelihoods."""
    start = time.perf_counter()
    layers = len(plan(circuit).layers)
    found: dict[str, float | int | list[float]] = {
        "nodes": circuit.num_nodes,
        "edges": len(circuit.operands),
        "layers": layers,
        "plan_s": round(time.perf_counter() - start, 3),
    }
    scale = 1000 / len(x)
    dtypes: tuple[Literal["float32", "float64"], ...] = ("float32", "float64")
    for dtype in dtypes:
        model = pc.compile(circuit, dtype=dtype)
        with torch.no_grad():
            ms = times_of(partial(model.log_likelihood, x), "cpu", repeats).median
            found[f"values_{dtype}"] = model.log_likelihood(x).double().tolist()
        found[f"torch_{dtype}_ms"] = round(ms * scale, 1)
    model = pc.compile(circuit)
    found["step_500_ms"] = round(times_of(partial(step, model, x[:500]), "cpu", 5).median, 1)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "model.onnx"
        found["onnx_nodes"] = pc.export_onnx(model, target, weights="materialized").nodes
        session = OnnxModel(target)
        ms = times_of(partial(session.log_likelihood, x), "cpu", repeats).median
        found["onnx_ms"] = round(ms * scale, 1)
        found["values_onnx"] = session.log_likelihood(x).tolist()
    return found


def step(model: torch.nn.Module, x: Float) -> None:
    """Forward and backward."""
    model.zero_grad()
    (-model.log_likelihood(x).sum()).backward()  # type: ignore[operator]  # a CompiledCircuit


def spflow(python: str, name: str, x: Float) -> tuple[float, Float]:
    """Milliseconds per 1,000 rows, and log-likelihoods."""
    with tempfile.TemporaryDirectory() as folder:
        rows, values = Path(folder) / "rows.npy", Path(folder) / "values.npy"
        np.save(rows, x)
        script = Path(__file__).with_name("spflow_rows.py")
        command = [python, "-W", "ignore", str(script), str(SHARED / "circuits" / name)]
        out = subprocess.run([*command, rows, values], capture_output=True, text=True, check=True)
        figures = json.loads(out.stdout.splitlines()[-1])
        return float(figures["ms_per_1000"]), np.load(values)


def files(report: Report, python: str | None, repeats: int) -> None:
    """Files of other programs."""
    for name, known in FILES.items():
        circuit, seconds = timed(lambda n=name: read(SHARED / "circuits" / n))  # type: ignore[misc]
        x = pc.datasets.load(name.split(".")[0], SHARED / "data").test[:5000].astype(np.float64)
        baseline = NodeByNode(circuit)
        want = baseline.log_likelihood(x)
        slow = times_of(lambda: baseline.log_likelihood(x[:1000]), "cpu", 3).median  # noqa: B023  # called here
        others: dict[str, float] = {}
        if python and name.endswith(".spn.gz"):
            others["spflow_ms"], values = spflow(python, name, x)
            others["spflow_largest_difference"] = float(np.abs(values - want).max())
        report.add(
            file=name,
            read_s=seconds,
            rows=len(x),
            mean_log_likelihood=round(float(want.mean()), 4),
            known_mean=known,
            node_by_node_ms=round(slow, 1),
            **others,
        )
        merged, seconds = timed(lambda c=circuit: MergeNested()(ShareEqual()(c)))  # type: ignore[misc]
        packed, more = timed(lambda c=merged: Pack()(c))  # type: ignore[misc]
        small = NodeByNode(merged)
        slow = times_of(lambda: small.log_likelihood(x[:1000]), "cpu", 3).median  # noqa: B023  # called here
        report.add(file=name, stage="share, merge", node_by_node_ms=round(slow, 1))
        for stage, each, passes_s in (
            ("as read", circuit, 0.0),
            ("share, merge, pack", packed, round(seconds + more, 3)),
        ):
            found = evaluate(each, x, repeats)
            answers = [np.array(found.pop(k)) for k in list(found) if k.startswith("values")]
            worst = max(float(np.abs(answer - want).max()) for answer in answers)
            report.add(file=name, stage=stage, passes_s=passes_s, **found, largest_difference=worst)


def scale(kind: str, edges: int) -> dict[str, float | int | str]:
    """Seconds to check, pack and plan a large circuit, and the memory for all of it."""
    circuit, build_s = timed(lambda: MAKERS[kind](edges))
    circuit = circuit.replace()  # drop cached facts
    start = time.perf_counter()
    verify(circuit)
    check_s = round(time.perf_counter() - start, 3)
    packed, pack_s = timed(lambda: Pack().run(circuit))
    start = time.perf_counter()
    layers = len(plan(packed).layers)
    plan_s = round(time.perf_counter() - start, 3)
    return {
        "circuit": kind,
        "nodes": circuit.num_nodes,
        "edges": len(circuit.operands),
        "build_s": build_s,
        "check_s": check_s,
        "pack_s": pack_s,
        "plan_s": plan_s,
        "total_s": round(check_s + pack_s + plan_s, 2),
        "packed_nodes": packed.num_nodes,
        "layers": layers,
        "peak_mb": _peak_mb(),
    }


def _peak_mb() -> int:
    """Most memory of this process, without that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """All files, then all sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spflow", help="Python of an environment with SPFlow 0.0")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--edges", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--scale", nargs=2, metavar=("KIND", "EDGES"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.scale:
        print(json.dumps(scale(arguments.scale[0], int(arguments.scale[1]))))
        return
    report = Report("packing")
    files(report, arguments.spflow, arguments.repeats)
    for kind in MAKERS:
        for edges in arguments.edges:
            command = [
                sys.executable,
                "-m",
                "benchmarks.structures.packing",
                "--scale",
                kind,
                str(edges),
            ]
            out = subprocess.run(command, capture_output=True, text=True, check=True)
            report.add(**json.loads(out.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
