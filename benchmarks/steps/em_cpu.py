"""A pass of EM on a CPU: trees, states, images and reals, in mini-batches and over all rows.

python -m benchmarks.steps.em_cpu
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

import pccompiler as pc
from benchmarks.common import Report
from pccompiler import structures
from pccompiler.ir import Circuit
from pccompiler.ir.variables import real


def states(rows: int, variables: int, number: int) -> NDArray[np.int64]:
    """Noisy copies of a latent of four values."""
    rng = np.random.default_rng(0)
    latent = rng.integers(0, 4, (rows, 1)) * number // 4
    noise = rng.integers(0, max(1, number // 3), (rows, variables))
    found: NDArray[np.int64] = (latent + noise) % number
    return found


def cases() -> Iterator[tuple[str, Circuit, NDArray[np.generic], int]]:
    """Name, circuit, rows and batch size."""
    binary, few, pixels = states(2000, 100, 2), states(2000, 64, 16), states(1000, 196, 256)
    noise = 0.1 * np.random.default_rng(1).normal(size=(1000, 16))
    reals = states(1000, 16, 2) + noise
    variables = [real(f"x{i}") for i in range(16)]
    yield "RAT-SPN, 100 x 10 x 5", pc.rat_spn(100, 10, 5, seed=0), binary, 500
    yield "HCLT, 64 x 16 states x 16", structures.hclt(few, 16), few, 128
    yield "HCLT, 196 x 256 states x 16", structures.hclt(pixels, 16), pixels, 128
    yield "Gaussian RAT-SPN, 16 x 5 x 8", pc.rat_spn(variables, 5, 8, seed=0), reals, 200


def main() -> None:
    """Measure the third and later passes."""
    report = Report("em_cpu")
    for name, circuit, rows, size in cases():
        for batch in (size, None):
            model = pc.compile(circuit)
            fit = partial(pc.fit_em, model, rows, batch_size=batch, progress=False)
            fit(iterations=2)
            times = []
            for _ in range(3):
                start = time.perf_counter()
                fit(iterations=2)
                times.append((time.perf_counter() - start) / 2)
            report.add(
                circuit=name, rows=len(rows), batch=batch, pass_ms=round(1e3 * min(times), 1)
            )


if __name__ == "__main__":
    main()
