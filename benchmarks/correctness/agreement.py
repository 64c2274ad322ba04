"""Differences between the backends, with trained-like weights and 30 % missing values.

    python -m benchmarks.correctness.agreement

For each circuit the largest difference from the float64 NumPy oracle (relative, over rows), of
torch float64, torch float32 in linear and in log form, and ONNX Runtime, compact and materialized;
and, for small ones, of the oracle from brute-force enumeration, and of total mass from 1.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import torch

import pccompiler as pc
from benchmarks.common import Report
from pccompiler.api import Dtype, Numerics
from pccompiler.ir.plan.materialize import by_weight, materialize
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.testing import density, worlds

FORMS: tuple[tuple[Dtype, Numerics], ...] = (
    ("float64", "auto"),
    ("float32", "auto"),
    ("float32", "log"),
)


def trained_like(
    n: int, hypernetwork: bool, dtype: Dtype, numerics: Numerics
) -> pc.CompiledCircuit:
    """A compiled RAT-SPN whose weights are spread out, the same for every precision."""
    net = pc.Hypernetwork() if hypernetwork else None
    model = pc.compile(pc.rat_spn(n, 50 if n > 14 else 5, 5), net, dtype=dtype, numerics=numerics)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(1.5 * torch.randn(parameter.shape, generator=generator))
    return model


def rows_for(n: int, number: int) -> np.ndarray:
    """Random binary rows, 30 % missing."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (number, n)).astype(np.float64)
    x[rng.random(x.shape) < 0.3] = np.nan
    return x


def main() -> None:
    """Measure all sizes."""
    report = Report("agreement")
    for n in (8, 13, 16, 69, 500, 1556):
        x = rows_for(n, 200 if n < 100 else 20)
        for hypernetwork in (False, True):
            base = trained_like(n, hypernetwork, "float32", "auto")
            weights = materialize(base.plan, base.weights.layout, base.parameters_as_numpy())
            want = log_likelihood(base.plan, weights, x)
            answers: dict[str, np.ndarray] = {}
            for dtype, numerics in FORMS:
                model = trained_like(n, hypernetwork, dtype, numerics)
                with torch.no_grad():
                    model.load_state_dict(base.state_dict())
                    answers[f"torch_{dtype}_{numerics}"] = model.log_likelihood(x).double().numpy()
            with tempfile.TemporaryDirectory() as folder:
                for kind in ("compact", "materialized"):
                    path = pc.export_onnx(base, Path(folder) / "m.onnx", weights=kind).path
                    answers[f"onnx_{kind}"] = pc.OnnxModel(path).log_likelihood(x)
            errors = {k: float(np.abs((v - want) / want).max()) for k, v in answers.items()}
            extra: dict[str, float] = {}
            if n <= 13:
                values = by_weight(base.plan, weights)
                every = worlds(base.circuit)
                mass = np.exp(log_likelihood(base.plan, weights, every))
                some = every[:: max(1, len(every) // 64)]
                exact = np.array([density(base.circuit, world, values) for world in some])
                oracle = np.exp(log_likelihood(base.plan, weights, some))
                extra = {
                    "enumeration": float(np.abs(oracle / exact - 1).max()),
                    "mass_minus_one": abs(math.fsum(mass) - 1),
                }
            report.add(n=n, model="HyperSPN" if hypernetwork else "SPN", **errors, **extra)


if __name__ == "__main__":
    main()
