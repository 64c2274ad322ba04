"""Bounds on the rounding of leaves; backends test those of whole circuits."""

from __future__ import annotations

import numpy as np
import pytest

from pccompiler.ir import Builder, Direct, real
from pccompiler.ir.families.builtin.gaussian import Gaussian
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.rounding import bounded_log_likelihood
from pccompiler.passes import plan


def bounded(loc: float) -> tuple[float, float]:
    b = Builder([real("x")])
    circuit = b.build(b.gaussian(0, [[loc, 0.01]])).replace(generator=Direct())
    lowered = plan(circuit, dtype="float64")
    weights = by_group(lowered, circuit.weights.values)
    value, bound = bounded_log_likelihood(lowered, weights, np.array([[6.0]]))
    return float(value[0]), float(bound[0])


def test_real_parameters_of_densities_in_float64_are_rounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The density may be formed in float64, but a file holds its parameters in float32."""
    monkeypatch.setattr(Gaussian, "in_float64", True)
    loc = 6.1 + 2e-7  # not a number of float32
    exact, bound = bounded(loc)
    rounded, _ = bounded(float(np.float32(loc)))
    assert 0.0 < abs(rounded - exact) < bound
