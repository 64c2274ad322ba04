"""Compile cost by size: time and peak memory of each step, from 10^4 to 10^6 nodes.

    python -m benchmarks.compiling.scaling

The circuits are scalar (one unit a node), with given weights. Each step runs in a process of its
own, so that peak memory can be attributed to it; the package and the circuit are included.
"""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import Report
from pccompiler.ir import Circuit, parse, to_text
from pccompiler.passes import plan, verify
from pccompiler.passes.pipeline import parse_passes
from pccompiler.passes.registry import PASSES
from pccompiler.testing.scalar_circuits import scalar_circuit

NODES = (10_000, 100_000, 1_000_000)
EDGES_A_NODE = 2.74
"""Of these circuits."""


OPTIONS = {"condition": "evidence=x1:1;x5:0;x17:1", "marginalize": "variables=x1;x5;x17"}


def _pass(name: str) -> Callable[[Circuit], object]:
    (step,) = parse_passes(f"{name}{{{OPTIONS.get(name, '')}}}")
    return step.run


STEPS: dict[str, Callable[[Circuit], object]] = {
    "nothing": lambda circuit: None,
    "check": verify,
    "plan": plan,
    "print": to_text,
    "parse": lambda circuit: parse(to_text(circuit)),
    **{
        name: _pass(name)
        for name in sorted(PASSES.keys() - {"check", "square", "hypernet", "direct"})
    },
}


def measure(step: str, nodes: int) -> dict[str, float]:
    """Seconds of one step, and the peak memory of its process."""
    circuit = scalar_circuit(round(nodes * EDGES_A_NODE))
    if step == "parse":
        text = to_text(circuit)
        start = time.perf_counter()
        parse(text)
    else:
        start = time.perf_counter()
        STEPS[step](circuit)
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent's memory
    peak = int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) / 1024
    return {
        "nodes": circuit.num_nodes,
        "edges": len(circuit.operands),
        "seconds": round(seconds, 4),
        "peak_mib": round(peak),
    }


def main() -> None:
    """Measure every step at every size."""
    report = Report("scaling")
    context = multiprocessing.get_context("spawn")
    for step in STEPS:
        for nodes in NODES:
            with context.Pool(1) as pool:
                report.add(step=step, **pool.apply(measure, (step, nodes)))


if __name__ == "__main__":
    main()
