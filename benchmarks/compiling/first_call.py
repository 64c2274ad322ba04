"""The first calls of a model on a GPU in a fresh process, without and with compiled kernels.

    python -m benchmarks.compiling.first_call

Kernels are cached on disk: the first process of each pair starts with empty folders, the second one
finds what the first has compiled. Python's own compiled files are written by a process before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from benchmarks.common import Report

CHILD = """
import json, sys, time
import torch
import pccompiler as pc
from pccompiler.bench.subjects import Subject, material

name, units = sys.argv[1], int(sys.argv[2])
hypernetwork = "hypernetwork" if name == "rat-spn" else "direct"
n, values = (1556, 2) if name == "rat-spn" else (784, 256)
subject = Subject(
    structure=name, n=n, units=units, values=values, replicas=50, weights=hypernetwork
)
circuit = material(subject).circuit
torch.zeros(1, device="cuda")
x = torch.randint(0, values, (1024, n), generator=torch.Generator().manual_seed(0)).float().cuda()
times, start = {}, time.perf_counter()
def lap(name):
    global start
    torch.cuda.synchronize()
    now = time.perf_counter()
    times[name + "_s"] = round(now - start, 2)
    start = now

lap("nothing")
generator = pc.Hypernetwork() if hypernetwork == "hypernetwork" else None
model = pc.compile(circuit, generator, device="cuda")
lap("compile")
model.log_likelihood(x[:512])
lap("first_call")
import torch.fx.experimental.symbolic_shapes  # torch imports it for the first gradient
lap("sympy")
pc.fit(model, x, steps=2, batch_size=512, progress=False)
lap("first_steps")
del times["nothing_s"]
print(json.dumps(times))
"""
CASES = (("rat-spn", 5), ("hclt", 128), ("hclt", 512))


def main() -> None:
    """Each case twice."""
    report = Report("first_call")
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": f"{folder}/python"}
        for case in (("rat-spn", 2), *CASES):
            name = f"{folder}/{case[0]}-{case[1]}"
            kernels = {"XDG_CACHE_HOME": name, "TRITON_CACHE_DIR": f"{name}/triton"}
            for cached in (False, True):
                run = subprocess.run(
                    [sys.executable, "-c", CHILD, *map(str, case)],
                    env={**environment, **kernels},
                    check=True,
                    capture_output=True,
                    text=True,
                )
                if case in CASES:
                    structure, units = case
                    line = json.loads(run.stdout)
                    report.add(structure=structure, units=units, cached=cached, **line)


if __name__ == "__main__":
    main()
