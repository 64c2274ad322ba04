"""Joint log-densities of rows and classes against one evaluation for each class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import pccompiler as pc
from pccompiler.errors import OptionError
from pccompiler.ir import Builder, Circuit, Hypernetwork, binary, categorical, real
from pccompiler.passes.analysis.classes import classes
from pccompiler.testing.strategies import circuits
from pccompiler.torch_backend.queries.classes import one_by_one


def heads(number: int = 3, *, reals: bool = False, units: int = 4) -> Circuit:
    """A tree over four variables with a head for each class."""
    kind = real if reals else binary
    b = Builder([kind(f"x{i}") for i in range(4)])
    leaf = b.gaussian if reals else b.bernoulli
    leaves = [leaf(v, units=units) for v in range(4)]
    pairs = [b.sum([b.product(leaves[i : i + 2])], units) for i in (0, 2)]
    return b.build(b.sum([b.product(pairs)], number), classes="label")


def rows_of(circuit: Circuit, number: int = 6) -> torch.Tensor:
    rng = np.random.default_rng(1)
    columns = [
        rng.integers(0, v.cardinality, number) if v.discrete else rng.normal(size=number)
        for v in circuit.variables
    ]
    rows = np.stack(columns, axis=1).astype(float)
    rows[0, 0] = rows[1, :] = np.nan
    return torch.from_numpy(rows)


def model_of(circuit: Circuit, generator: Hypernetwork | None = None) -> pc.CompiledCircuit:
    if generator is None:
        return pc.compile(circuit, dtype="float64", seed=2)
    return pc.compile(circuit, generator, dtype="float64", seed=2)


@pytest.mark.parametrize("reals", [False, True])
@pytest.mark.parametrize("number", [2, 3])
def test_all_heads_in_one_pass(number: int, reals: bool) -> None:
    model = model_of(heads(number, reals=reals))
    assert classes(model.circuit, 4) is not None
    x = rows_of(model.circuit)
    want = one_by_one(model, x, 4)
    found = model.log_joint(x, "label")
    torch.testing.assert_close(found, want, rtol=1e-12, atol=1e-12)
    parameters = list(model.parameters())
    loss = torch.linspace(-1.0, 2.0, found.numel(), dtype=torch.float64).view_as(found)
    got = torch.autograd.grad((loss * found).sum(), parameters)
    for one, other in zip(got, torch.autograd.grad((loss * want).sum(), parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(model.log_joint(x, "label"), want.detach())
        again = model.classify(x, "label").log_probability
    torch.testing.assert_close(again, want.detach().log_softmax(1))


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_wide_trees_in_every_precision(precision: torch.dtype) -> None:
    b = Builder([binary(f"x{i}") for i in range(32)])
    layer = [b.bernoulli(v, units=6) for v in range(32)]
    while len(layer) > 1:
        layer = [b.sum([b.product(pair)], 6) for pair in zip(layer[::2], layer[1::2], strict=True)]
    circuit = b.build(b.sum(layer, 5), classes="label")
    model = pc.compile(circuit, dtype=precision)
    x = rows_of(circuit)
    torch.testing.assert_close(
        model.log_joint(x, "label"), one_by_one(model, model.evidence(x), 32)
    )


def test_a_hypernetwork_may_make_the_weights() -> None:
    model = model_of(heads(), Hypernetwork())
    x = rows_of(model.circuit)
    torch.testing.assert_close(model.log_joint(x, "label"), one_by_one(model, x, 4))


@given(circuits(4, zeros=False), st.data())
@settings(max_examples=20)
def test_any_discrete_variable_of_any_circuit(circuit: Circuit, data: st.DataObject) -> None:
    model, column = model_of(circuit), data.draw(st.integers(0, len(circuit.variables) - 1))
    x = rows_of(circuit)
    found = model.log_joint(x, column)
    torch.testing.assert_close(found, one_by_one(model, x, column), rtol=1e-9, atol=1e-9)
    every = x.clone()
    every[:, column] = torch.nan
    torch.testing.assert_close(found.logsumexp(1), model(every), rtol=1e-9, atol=1e-9)


def test_inputs_of_the_root_may_share_a_class_and_a_class_may_have_none() -> None:
    b = Builder([categorical("y", 3), binary("x")])
    y, x = b.indicator(0), b.bernoulli(1, units=3)
    several = b.build(b.sum([b.product([y, x]), b.product([y, b.bernoulli(1, units=3)])]))
    found = classes(several, 0)
    assert found is not None
    assert found.tolist() == [0, 1, 2, 0, 1, 2]
    model = model_of(several)
    rows = rows_of(several)
    torch.testing.assert_close(model.log_joint(rows, "y"), one_by_one(model, rows, 0))
    assert classes(several, 1) is None  # its leaves are no indicators


def test_refusals_and_no_rows() -> None:
    model = model_of(heads(reals=True))
    with pytest.raises(OptionError, match="PC408"):
        model.log_joint(rows_of(model.circuit), "x0")
    assert model.log_joint(np.zeros((0, 5)), "label").shape == (0, 3)


def test_a_memory_budget_is_kept() -> None:
    model = model_of(heads())
    model.keep_within("1 MiB")
    x = rows_of(model.circuit)
    torch.testing.assert_close(model.log_joint(x, "label"), one_by_one(model, x, 4))


@torch.no_grad()
def test_each_context_has_weights_of_its_own() -> None:
    torch.manual_seed(0)
    external = pc.External(lambda size: nn.Linear(2, size, dtype=torch.float64))
    model = pc.compile(heads(), external, dtype="float64")
    x, contexts = rows_of(model.circuit), torch.randn(6, 2, dtype=torch.float64)
    want = [model.given(contexts[i : i + 1]).log_joint(x[i : i + 1], "label") for i in range(6)]
    found = model.classify(x, "label", context=contexts).log_probability
    torch.testing.assert_close(found, torch.cat(want).log_softmax(1))
    alone = model.classify(x[:1], "label", context=contexts[:1]).log_probability
    torch.testing.assert_close(alone, found[:1])
