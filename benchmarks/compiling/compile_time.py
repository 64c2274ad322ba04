"""Time and memory to make a module for the paper's largest circuit, Ad, in a fresh process.

    python -m benchmarks.compiling.compile_time

Steps: IR build, check, sectors and hypernetwork, plan, torch module. Import of torch is apart.
"""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.common import Report

CHILD = """
import json, resource, sys, time
import torch
import pccompiler as pc
from pccompiler.passes import PassManager, plan
from pccompiler.torch_backend import CompiledCircuit

n = int(sys.argv[1])
times = {}
start = time.perf_counter()
def lap(name):
    global start
    now = time.perf_counter()
    times[name + "_s"] = round(now - start, 3)
    start = now

circuit = pc.rat_spn(n, 50, 5)
lap("build")
circuit = PassManager.parse("check")(circuit)
lap("check")
from pccompiler.ir.sectors import partition
circuit = partition(circuit, pc.Sectors()).replace(generator=pc.Hypernetwork())
lap("sectors_and_hypernetwork")
lowered = plan(circuit)
lap("plan")
module = CompiledCircuit(
    circuit, lowered, device=torch.device("cpu"), dtype=torch.float32, seed=0
)
lap("module")
times["total_s"] = round(sum(times.values()), 3)
text_start = time.perf_counter()
text = pc.ir.to_text(circuit)
times["print_s"] = round(time.perf_counter() - text_start, 3)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
times["peak_gib_with_torch"] = round(peak, 2)
print(json.dumps({"n": n, "nodes": circuit.num_nodes, **times}))
"""


def main() -> None:
    """Median-of-three by total time, each in its own process."""
    report = Report("compile_time")
    for n in (16, 100, 500, 1556):
        runs = []
        for _ in range(3):
            out = subprocess.run(
                [sys.executable, "-c", CHILD, str(n)], capture_output=True, text=True, check=True
            )
            runs.append(json.loads(out.stdout))
        report.add(**sorted(runs, key=lambda run: run["total_s"])[1])


if __name__ == "__main__":
    main()
