"""Interval evidence against sums and integrals over the interval."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

import pccompiler as pc
from pccompiler.errors import CircuitError, DataError
from pccompiler.ir import Family
from pccompiler.testing.families import FAMILIES, family_mixture
from pccompiler.torch_backend.leaves.base import TorchLeaf
from pccompiler.torch_backend.leaves.families.gaussian import GaussianLeaf

MIXED = [Family.GAUSSIAN, Family.CATEGORICAL, Family.POISSON]
ENDS = {"gaussian": (-0.5, 1.5), "categorical": (1, 3), "poisson": (1, 4)}
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(60)


def mixed(dtype: Literal["float32", "float64"] = "float64") -> pc.CompiledCircuit:
    return pc.compile(family_mixture(3, MIXED), dtype=dtype, seed=3)


def test_the_mass_of_a_box() -> None:
    """The definition: an integral over the reals, sums over states and counts."""
    model = mixed()
    low, high = ENDS["gaussian"]
    places, states, counts = low + (POINTS + 1.0) * (high - low) / 2.0, [1, 2, 3], [1, 2, 3, 4]
    grid = np.array([[x, s, k] for x in places for s in states for k in counts], float)
    weights = np.repeat(WEIGHTS * (high - low) / 2.0, len(states) * len(counts))
    want = float(np.log(model.log_likelihood(grid).detach().exp().cpu().numpy() @ weights))
    with torch.no_grad():
        assert float(model.log_likelihood({}, intervals=ENDS)) == pytest.approx(want, abs=1e-10)
        assert float(model.log_likelihood(ENDS)) == pytest.approx(want, abs=1e-10)
        assert float(mixed("float32").log_likelihood(ENDS)) == pytest.approx(want, abs=1e-5)
        assert float(model.log_conditional(ENDS, {})) == pytest.approx(want, abs=1e-10)


@torch.no_grad()
def test_open_ends_rows_and_arrays() -> None:
    model = mixed()
    nothing = dict.fromkeys(ENDS, (None, None))
    assert float(model.log_likelihood(nothing)) == pytest.approx(0.0, abs=1e-12)
    low, high = np.array([-1.0, 0.0]), torch.tensor([1.0, math.inf])
    both = model.log_likelihood([{}, {}], intervals={"gaussian": (low, high)})
    each: list[dict[str, tuple[float, float]]]
    each = [{"gaussian": (-1.0, 1.0)}, {"gaussian": (0.0, math.inf)}]
    rows = model.log_likelihood(each)
    torch.testing.assert_close(both, rows)
    below = model.log_likelihood({"gaussian": (None, 0.3)}).exp()
    above = model.log_likelihood({"gaussian": (0.3, None)}).exp()
    assert float(below + above) == pytest.approx(1.0)
    split = [model.log_likelihood({"poisson": ends}).exp() for ends in ((0, 2), (3, None))]
    assert float(sum(split)) == pytest.approx(1.0)
    assert model.log_likelihood({"gaussian": (200, 201)}).isfinite().all()


@torch.no_grad()
def test_conditioning_on_intervals() -> None:
    """Intervals on both sides are intersected; a value must lie in its interval."""
    model = mixed()
    inner, outer = {"gaussian": (0.0, 1.0)}, {"gaussian": (-1.0, 2.0)}
    want = model.log_likelihood(inner) - model.log_likelihood(outer)
    torch.testing.assert_close(model.log_conditional(inner, outer), want)
    known = model.log_likelihood({"gaussian": 0.5}, intervals={"gaussian": (0, 1)})
    torch.testing.assert_close(known, model.log_likelihood({"gaussian": 0.5}))
    outside = model.log_likelihood({"gaussian": 1.5}, intervals={"gaussian": (0, 1)})
    assert float(outside) == -math.inf
    classes = model.classify(inner, "categorical").log_probability.exp()
    shares = [
        (model.log_likelihood({**inner, "categorical": s}) - model.log_likelihood(inner)).exp()
        for s in range(6)
    ]
    torch.testing.assert_close(classes[0], torch.cat(shares))


def test_posteriors_and_completions_of_other_variables() -> None:
    model = mixed()
    given = {"gaussian": (0.0, 1.0)}
    found = model.posterior_marginals(given, variables=["categorical", "poisson"])
    want = model.classify(given, "categorical").log_probability.exp().detach()
    torch.testing.assert_close(found.states[0, :1], want)
    torch.testing.assert_close(found.log_evidence, model.log_likelihood(given).detach())
    with pytest.raises(DataError, match=r"PC906.*'gaussian'"):
        model.posterior_marginals(given)
    with pytest.raises(DataError, match="PC906"):
        model.mpe(given)
    best = model.mpe({"categorical": (2, 3)})
    assert best.rows[0, 1] in (2.0, 3.0)


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_draws_lie_within_intervals(family: Family) -> None:
    model = pc.compile(family_mixture(2, list(dict.fromkeys([family, Family.LAPLACE]))))
    name = family.keyword
    ends = (0, 1) if family.discrete else (0.2, 1.1)
    drawn = model.sample_conditional({name: ends}, 40, seed=0)[0, :, 0]
    assert bool(((drawn >= ends[0]) & (drawn <= ends[1])).all())
    assert model.sample_conditional({name: ends}, 40, seed=0)[0, :, 0].equal(drawn)


def test_gradients_by_ends_and_parameters() -> None:
    model = pc.compile(family_mixture(2, [Family.GAUSSIAN, Family.GAMMA]), dtype="float64", seed=1)
    ends = [torch.tensor([value], dtype=torch.float64) for value in (-0.3, 0.9, 0.2, 2.0)]
    ends = [end.requires_grad_() for end in ends]

    def value(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        return model.log_likelihood({}, intervals={"gaussian": (a, b), "gamma": (c, d)})

    assert torch.autograd.gradcheck(value, ends, fast_mode=True)
    slopes = torch.autograd.grad(value(*ends).sum(), list(model.parameters()))
    assert all(slope.isfinite().all() and slope.abs().sum() > 0 for slope in slopes)


def test_a_family_without_a_distribution_function_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(GaussianLeaf, "log_tails", TorchLeaf.log_tails)
    with pytest.raises(CircuitError, match=r"PC460.*gaussian leaves.*'log_tails'"):
        mixed().log_likelihood({"gaussian": (0, 1)})
