"""Probabilities of intervals in torch against their definition in NumPy, and their derivatives."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pccompiler.errors import CircuitError
from pccompiler.ir import Family
from pccompiler.testing.families import FAMILIES
from pccompiler.torch_backend.leaves.base import Units
from pccompiler.torch_backend.leaves.distribution import DistributionLeaf
from pccompiler.torch_backend.leaves.registry import leaf_of
from pccompiler.torch_backend.leaves.tails import draw_within, log_interval

OPEN = [family for family, variable in FAMILIES.items() if not variable.discrete]
INSIDE = {Family.HISTOGRAM: 0.26}
"""Scales of the ends below, so that there is mass between them; 1 by default."""
ENDS = st.floats(-6.0, 9.0) | st.sampled_from([-math.inf, math.inf, 0.0, 1.0, 2.0])


def raw_parameters(family: Family, seed: int) -> Tensor:
    """Unconstrained numbers of three units of one row."""
    rng = torch.Generator(torch.get_default_device()).manual_seed(seed)
    columns = family.columns(FAMILIES[family])
    return torch.randn(1, 3, columns, generator=rng, dtype=torch.float64)


def units_of(family: Family, raw: Tensor) -> Units:
    leaf, variable = leaf_of(family.keyword), FAMILIES[family]
    constants = leaf.constants([variable], raw.device, raw.dtype)
    return Units(leaf, leaf.constrain(raw, 0.0), constants)


def ends_of(*ends: float) -> list[Tensor]:
    return [torch.full((1, 1, 1), end, dtype=torch.float64) for end in ends]


@pytest.mark.parametrize("family", OPEN, ids=repr)
@settings(max_examples=12)
@given(low=ENDS, high=ENDS, seed=st.integers(0, 99))
def test_intervals_agree_with_the_definition(
    family: Family, low: float, high: float, seed: int
) -> None:
    low, high = sorted((low, high))
    raw, variable = raw_parameters(family, seed), FAMILIES[family]
    found = log_interval(units_of(family, raw), *ends_of(low, high))
    table = leaf_of(family.keyword).values(raw, 0.0).cpu().numpy()
    first, last = (end.cpu().numpy() for end in ends_of(low, high))
    want = family.log_interval(table, first, last, [variable])
    np.testing.assert_allclose(found.cpu(), want, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("family", OPEN, ids=repr)
def test_derivatives_by_parameters_and_ends(family: Family) -> None:
    raw = raw_parameters(family, 1).requires_grad_()
    counts = family.discrete
    for both in ((0.4, 2.3), (-math.inf, 1.6), (1.2, math.inf), (3.4, 5.7)):
        low, high = (INSIDE.get(family, 1.0) * end for end in both)
        ends = [end.requires_grad_(not counts and math.isfinite(end)) for end in ends_of(low, high)]

        def value(raw: Tensor, low: Tensor, high: Tensor) -> Tensor:
            return log_interval(units_of(family, raw), low, high)

        with np.errstate(all="raise"):
            found = value(raw, *ends)
        assert found.isfinite().all()
        assert torch.autograd.gradcheck(value, (raw, *ends), fast_mode=True)


@pytest.mark.parametrize("family", OPEN, ids=repr)
@pytest.mark.parametrize("ends", [(0.4, 2.3), (-math.inf, 1.2), (1.6, math.inf)])
def test_draws_lie_in_the_interval_and_follow_the_density(
    family: Family, ends: tuple[float, float]
) -> None:
    ends = ends[0] * INSIDE.get(family, 1.0), ends[1] * INSIDE.get(family, 1.0)
    one = units_of(family, raw_parameters(family, 2)[:, :1])
    many = one.pick(torch.zeros(500, dtype=torch.int64))
    low, high = (end.flatten().expand(500) for end in ends_of(*ends))
    drawn = draw_within(many, low, high, torch.Generator(torch.get_default_device()).manual_seed(0))
    assert bool(((drawn >= low) & (drawn <= high)).all())
    middle = drawn.quantile(0.4).item()
    share = log_interval(one, *ends_of(ends[0], middle)) - log_interval(one, *ends_of(*ends))
    below = (drawn <= middle).double().mean().item()
    assert below == pytest.approx(float(share.exp()), abs=0.08)


@pytest.mark.parametrize("family", [Family.CATEGORICAL, Family.BINOMIAL], ids=repr)
def test_discrete_families_have_states_instead(family: Family) -> None:
    units = units_of(family, raw_parameters(family, 0))
    with pytest.raises(CircuitError, match=rf"PC460.*{family.keyword} leaves"):
        log_interval(units, *ends_of(0.0, 1.0))


def test_a_class_of_torch_serves_by_its_cdf(monkeypatch: pytest.MonkeyPatch) -> None:
    units = units_of(Family.GAMMA, raw_parameters(Family.GAMMA, 0)).double()
    x = torch.tensor([[[-1.0, 0.2, 1.5, 3.0]]], dtype=torch.float64)
    found = DistributionLeaf.log_tails(cast(DistributionLeaf, units.leaf), x, units)
    torch.testing.assert_close(found, units.leaf.log_tails(x, units))
    monkeypatch.delattr(torch.distributions.Gamma, "cdf")
    with pytest.raises(CircuitError, match=r"PC460.*gamma leaves.*'log_tails'"):
        DistributionLeaf.log_tails(cast(DistributionLeaf, units.leaf), x, units)
