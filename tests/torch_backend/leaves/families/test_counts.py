"""Geometric and negative binomial leaves with parameters that are hard to handle in float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.ir import Builder, Family, count
from pccompiler.testing import with_values
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.registry import leaf_of

PAIR = pytest.mark.parametrize("family", [Family.GEOMETRIC, Family.NEGATIVE_BINOMIAL])


def alone(family: Family, values: list[float], dtype: pc.api.Dtype) -> pc.CompiledCircuit:
    b = Builder([count("n")])
    circuit = b.build(int(b.inputs([0], family, 1)[0]))
    return pc.compile(with_values(circuit, {0: np.array([values])}), dtype=dtype)


@PAIR
def test_points_are_few_and_normalised_in_float32(family: Family) -> None:
    leaf = leaf_of(family.keyword)
    for logit in (0.0, -0.85, 3.0):
        raw = torch.tensor([[[logit]]] if family == Family.GEOMETRIC else [[[0.3, logit]]])
        points = Units(leaf, leaf.constrain(raw, 1e-12).double()).points()
        assert points.points.shape[1] <= 512
        assert float(points.masses.sum()) == pytest.approx(1.0, abs=1e-12)


@PAIR
def test_entropies_of_large_counts_in_float32(family: Family) -> None:
    values = [1.0 / 400.0] if family == Family.GEOMETRIC else [1.3, 1.0 / 400.0]
    rounded, exact = (alone(family, values, dtype).entropy() for dtype in ("float32", "float64"))
    assert float(rounded.detach()) == pytest.approx(float(exact.detach()), rel=1e-6)


@pytest.mark.parametrize(
    ("family", "left", "right"),
    [
        (Family.POISSON, [2.0], [0.0]),
        (Family.GEOMETRIC, [0.3], [1.0]),
        (Family.NEGATIVE_BINOMIAL, [2.0, 0.3], [2.0, 1.0]),
    ],
)
def test_divergences_from_leaves_that_are_always_zero(
    family: Family, left: list[float], right: list[float]
) -> None:
    one, zero = alone(family, left, "float64"), alone(family, right, "float64")
    assert one.cross_entropy(zero).isposinf().all()
    assert one.kl(zero).isposinf().all()
    assert float(zero.kl(one).detach()) == pytest.approx(
        -float(one.log_likelihood([[0.0]]).detach())
    )


@pytest.mark.parametrize("logit", [-16.0, 0.0, 10.0, 14.0, 20.0, 40.0])
@PAIR
def test_moments_keep_their_digits_when_failures_are_rare(family: Family, logit: float) -> None:
    leaf = leaf_of(family.keyword)
    raw = torch.tensor([[[logit]]] if family == Family.GEOMETRIC else [[[0.0, logit]]])
    units = Units(leaf, leaf.constrain(raw, 0.0))
    mean = np.exp(-logit)
    assert float(leaf.mean(units)) == pytest.approx(mean, rel=1e-6)
    assert float(leaf.square(units)) == pytest.approx(mean + 2.0 * mean**2, rel=1e-6)
