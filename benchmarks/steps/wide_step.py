"""Forward and backward of wide circuits on a GPU: Triton kernels and the layered engine.

    python -m benchmarks.steps.wide_step

Circuits other than hidden Chow-Liu trees: RAT-SPNs over states with a mixture of roots, images in
rectangles, Gaussian leaves, and units too few to fill the tensor cores' tiles. Both ways in CUDA
graphs, in one run; errors against float64 in level order on the same GPU, as in gpu_step.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

import pccompiler as pc
from benchmarks.common import Report
from benchmarks.steps.gpu_step import errors
from pccompiler import structures
from pccompiler.bench.kinds.registry import run_of
from pccompiler.bench.timing import times_of
from pccompiler.ir import Circuit
from pccompiler.ir.variables import real
from pccompiler.torch_backend.engines.dense.engine import Dense

BATCH = 500


def circuits() -> Iterator[tuple[str, Circuit]]:
    """Name and circuit."""
    for units in (9, 12, 16, 32, 64):
        yield f"RAT-SPN, 100 binary variables, {units} units", pc.rat_spn(100, 10, units, seed=0)
    for units in (4, 8, 12, 16, 32):
        name = f"quad graph, 16 x 16 pixels of 256 values, {units} units"
        yield name, structures.quad_graph(16, 16, units)
    yield "Poon-Domingos, 12 x 12 pixels, 32 units", structures.poon_domingos(12, 12, 32, delta=3)
    pixels = [real(f"p{i}") for i in range(256)]
    yield (
        "quad tree, 16 x 16 Gaussian pixels, 32 units",
        structures.quad_tree(16, 16, 32, variables=pixels),
    )


def main() -> None:
    """Time and compare."""
    report = Report("wide_step")
    for name, circuit in circuits():
        generator = torch.Generator().manual_seed(0)
        states = [v.cardinality for v in circuit.variables]
        uniform = torch.rand(BATCH, len(states), generator=generator)
        x = (uniform * torch.tensor([s or 1.0 for s in states])).floor()
        x = (x if states[0] else 4.0 * uniform - 2.0).cuda()
        fused, layered = (pc.compile(circuit, device="cuda") for _ in range(2))
        layered.without_kernels()
        if not isinstance(fused.kernels, Dense):
            raise SystemExit(f"{name} is not fused")
        double = pc.compile(circuit, device="cuda", dtype="float64")
        for setting, precision in (("highest", "fp32"), ("high", "tf32")):
            torch.set_float32_matmul_precision(setting)
            runs = [run_of(model, x, BATCH, "gradients") for model in (fused, layered)]
            quick, slow = (times_of(run, "cuda", 20).median for run in runs)
            report.add(
                circuit=name,
                precision=precision,
                fused_ms=round(quick, 3),
                layered_ms=round(slow, 3),
                ratio=round(slow / quick, 2),
                **errors(fused, double, x),
            )


if __name__ == "__main__":
    main()
