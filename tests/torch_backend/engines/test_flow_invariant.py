"""Flows and gradients of a batch are the sums over its rows, at any batch size."""

from __future__ import annotations

import pytest
import torch

from benchmarks.correctness.flow_invariant import TOLERANCE, VARIANTS, deviation, model_of

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
    ),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("variant", VARIANTS)
def test_float64(variant: str, device: str) -> None:
    found = deviation(model_of(variant, "float64", device))
    assert found.worst < TOLERANCE["float64"], found
    assert found.cancelled < TOLERANCE["float64"], found
    assert found.active > 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_float32(variant: str) -> None:
    found = deviation(model_of(variant, "float32", "cpu"), (1, 7, 100))  # the benchmark runs all
    assert found.worst < TOLERANCE["float32"], found


def test_a_broken_gradient_is_seen() -> None:
    """The measure detects a loss that is a mean instead of a sum over rows."""
    model = model_of("ordinary", "float64", "cpu")
    usual = model.evaluate_unchecked
    model.evaluate_unchecked = lambda x, complete=False: usual(x, complete) / len(x)  # type: ignore[method-assign]
    assert deviation(model, (1, 7)).gradients > 0.1
