"""Lookups in tables of many states: same values and gradients as one-hot states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import pccompiler as pc
from pccompiler.ir import Circuit
from pccompiler.ir.variables import binary, categorical, real
from pccompiler.structures import hclt, quad_graph
from pccompiler.torch_backend.engines.differentiable import run
from pccompiler.torch_backend.engines.questions import Batch, Wanted
from pccompiler.torch_backend.leaves.lookup import codes_of, look_up, table_gradient
from pccompiler.torch_backend.values import safe_div

STATES = 37


def one_hot(column: Tensor, states: int) -> Tensor:
    """The definition: all ones where missing, all zeros where the value is not a state."""
    values = torch.arange(states, dtype=column.dtype).view(1, -1, 1)
    return ((column == values) | column.isnan()).to(column.dtype)


def columns(batch: int, states: int) -> Tensor:
    """Values, some of them missing and some not states."""
    made = torch.randint(0, states, (6, 1, batch)).double()
    made[0] = torch.nan
    made[1, 0, ::3] = torch.nan
    wrong = torch.tensor([-1.0, 0.5, states, torch.inf], dtype=made.dtype).repeat(batch)
    made[2, 0] = wrong[:batch]
    return made


@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("batch", [1, 7, 100, 300])
@pytest.mark.parametrize("states", [3, STATES, 256])
def test_values_and_gradients_are_those_of_one_hot_states(
    states: int, batch: int, log: bool, precision: torch.dtype
) -> None:
    torch.manual_seed(0)
    column, grad = columns(batch, states), torch.randn(6, 4, batch, dtype=precision)
    table = torch.rand(6, 4, states, dtype=precision)
    table[3, 0] = 0.0
    exact, single = table.double(), precision == torch.float32  # float32 sums round at each step
    hot, codes = one_hot(column, states), codes_of(column.to(precision), states)
    x = torch.bmm(exact, hot)
    got = look_up(table, codes, log=log, out=torch.empty(x.shape, dtype=precision)).double()
    close = 1e-5 if single else 1e-13
    torch.testing.assert_close(got, x.log() if log else x, rtol=close, atol=close if single else 0)
    left = safe_div(grad.double(), x) if log else grad.double()
    want = torch.bmm(left, hot.transpose(1, 2))
    found = table_gradient(table, codes, grad, log=log).double()
    possible = table.sum(2, keepdim=True) > 0
    close = 1e-5 if single else 1e-11
    scale = torch.bmm(left.abs(), hot.transpose(1, 2)).amax() if single else 1.0  # terms cancel
    torch.testing.assert_close(
        found * possible, want * possible, rtol=close, atol=close * float(scale)
    )


def circuits() -> dict[str, Circuit]:
    rng = np.random.default_rng(0)
    variables = [categorical(f"x{i}", STATES) for i in range(6)]
    rows = rng.integers(0, STATES, (50, 6))
    return {
        "hclt": hclt(rows, 4, variables=variables),
        "quad": quad_graph(3, 3, 4, states=STATES),
        "rat": pc.rat_spn(variables, 3, 4, seed=0, leaf="categorical"),
        "mixed": pc.rat_spn([*variables[:3], binary("b"), real("r")], 3, 4, seed=0),
    }


def data(circuit: Circuit, batch: int, missing: float) -> Tensor:
    generator = torch.Generator(torch.get_default_device()).manual_seed(batch)
    shape = (batch, len(circuit.variables))
    sizes = torch.tensor([v.cardinality if v.discrete else 2 for v in circuit.variables])
    rows = (torch.rand(shape, generator=generator) * sizes).floor().double()
    return rows.masked_fill(torch.rand(shape, generator=generator) < missing, torch.nan)


@pytest.mark.parametrize("numerics", ["auto", "log"])
@pytest.mark.parametrize("name", list(circuits()))
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_circuits_agree_with_one_hot_inputs(
    name: str, missing: float, numerics: pc.api.Numerics
) -> None:
    circuit = circuits()[name]
    model = pc.compile(circuit, dtype="float64", numerics=numerics)
    model.without_kernels()
    for batch in (1, 7, 100):
        rows = data(circuit, batch, missing)
        given = model.weights()
        inputs = model.leaf_inputs(rows, given[1])
        engine = model.engines.choose(Wanted.GRADIENT)
        want = run(engine, Batch(rows), [*inputs, *given[0]], Wanted.GRADIENT)
        expected = torch.autograd.grad(want.sum(), list(model.parameters()), retain_graph=True)
        got = model(rows, complete=missing == 0.0)
        torch.testing.assert_close(got, want + model.plan.log_scale, rtol=1e-12, atol=1e-12)
        found = torch.autograd.grad(got.sum(), list(model.parameters()))
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_any_batch_size_gives_the_same() -> None:
    circuit = circuits()["hclt"]
    model = pc.compile(circuit, dtype="float64")
    model.without_kernels()
    rows = data(circuit, 512, 0.2)
    whole = model(rows)
    (whole.sum()).backward()
    expected = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    for batch in (1, 7, 100, 500):
        model.zero_grad()
        parts = [model(part) for part in rows.split(batch)]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)
        torch.cat(parts).sum().backward()
        found = [p.grad for p in model.parameters() if p.grad is not None]
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_float32_is_close_to_float64() -> None:
    circuit = circuits()["quad"]
    double, single = pc.compile(circuit, dtype="float64"), pc.compile(circuit, dtype="float32")
    double.without_kernels()
    single.without_kernels()
    rows = data(circuit, 500, 0.2)
    torch.testing.assert_close(single(rows.float()).double(), double(rows), rtol=1e-5, atol=1e-5)
