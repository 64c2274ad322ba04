"""Derivatives of log-likelihoods by the data, through every engine and for every family."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import pccompiler as pc
from pccompiler.errors import DataError
from pccompiler.ir import Circuit, Family, real
from pccompiler.testing.families import FAMILIES, family_mixture

REAL = [family for family in FAMILIES if not family.discrete]
COUNTED = [Family.POISSON, Family.BINOMIAL, Family.CATEGORICAL]
WAYS = ("as chosen", "without kernels", "within a budget")


def model_of(circuit: Circuit, way: str) -> pc.CompiledCircuit:
    model = pc.compile(circuit, dtype="float64", seed=1)
    if way == "without kernels":
        model.without_kernels()
    if way == "within a budget":
        model.keep_within("64 MiB")
    return model


def chain(variables: int) -> Circuit:
    """A circuit of scalar sums over products, whose plan is packed."""
    b = pc.ir.Builder([real(f"x{i}") for i in range(variables)])
    node = b.sum([b.gaussian(0), b.gaussian(0)], 1)
    for v in range(1, variables):
        pairs = [b.product([node, b.gaussian(v)]) for _ in range(2)]
        node = b.sum(pairs, 1)
    return b.build(node)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", REAL, ids=repr)
def test_each_family_in_each_engine(family: Family, way: str) -> None:
    model = model_of(family_mixture(3, [family, *COUNTED]), way)
    z = torch.tensor([0.31, 0.77, 1.23], dtype=torch.float64, requires_grad=True)
    rest = torch.tensor([[2.0, 1.0, 3.0], [0.0, 4.0, 1.0], [math.nan] * 3], dtype=torch.float64)

    def value(z: Tensor) -> Tensor:
        found: Tensor = model(torch.cat([z.unsqueeze(1), rest], dim=1))
        return found

    assert torch.autograd.gradcheck(value, (z,), fast_mode=True)
    x = torch.cat([z.detach().unsqueeze(1), rest], dim=1).requires_grad_()
    (slope,) = torch.autograd.grad(model(x).sum(), x)
    assert slope[:, 1:].eq(0.0).all()  # states and counts have no derivatives
    assert slope[:, 0].ne(0.0).all() == (family != Family.HISTOGRAM)


@pytest.mark.parametrize("way", WAYS[:2])
@pytest.mark.parametrize("circuit", [chain(4), pc.rat_spn([real(f"x{i}") for i in range(4)], 2, 3)])
def test_packed_and_layered_plans(circuit: Circuit, way: str) -> None:
    model = model_of(circuit, way)
    x = torch.tensor([[0.3, -0.2, 1.1, 0.4]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)
    missing = torch.tensor([[0.3, math.nan, 1.1, math.nan]], dtype=torch.float64)
    (slope,) = torch.autograd.grad(model(missing.requires_grad_()).sum(), missing)
    assert slope.isfinite().all()
    assert slope[0, 1] == slope[0, 3] == 0.0


def test_rows_without_real_variables_have_no_gradient() -> None:
    model = pc.compile(pc.rat_spn(4, num_replicas=2, units=2, seed=0))
    x = torch.zeros(2, 4, requires_grad=True)
    with pytest.raises(DataError, match="PC907"):
        model(x)
    with torch.no_grad():
        assert model(x).isfinite().all()
    assert model(x.detach()).isfinite().all()
