"""Packed plans: scalar circuits through the arena, against enumeration and the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from torch import Tensor

import pccompiler as pc
from pccompiler.ir import Builder, Circuit, Direct, Family
from pccompiler.ir.circuit import select
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.ir.topology import reachable
from pccompiler.passes import plan
from pccompiler.testing import density, with_values, worlds
from pccompiler.testing.random_weights import random_weights
from pccompiler.testing.scalars import to_scalars
from pccompiler.testing.strategies import circuits
from pccompiler.testing.strategies import rows as random_rows
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.engines.arena.engine import Arena
from pccompiler.torch_backend.engines.arena.program import make_program
from pccompiler.torch_backend.engines.differentiable import run
from pccompiler.torch_backend.engines.questions import Batch, Wanted

Check = Callable[[torch.nn.Module, Tensor], None]


def ragged(reals: bool = False, variables: int = 6, seed: int = 0) -> Circuit:
    """Sums of several fan-ins and levels, shared nodes and weights, products of two and three."""
    rng = np.random.default_rng(seed)
    b = Builder()
    for i in range(variables):
        b.real(f"x{i}") if reals and i == 0 else b.binary(f"x{i}")
    leaf = [Family.GAUSSIAN if reals and v == 0 else Family.BERNOULLI for v in range(variables)]
    layer = [b.inputs([v, v, v], leaf[v]).tolist() for v in range(variables)]
    while len(layer) > 1:
        arity = 3 if len(layer) == 3 else 2
        groups = [layer[i : i + arity] for i in range(0, len(layer), arity)]
        layer = []
        for group in groups:
            picks = [[int(rng.choice(part)) for part in group] for _ in range(9)]
            products = [b.product(pick) for pick in picks] if len(group) > 1 else group[0]
            sums = [b.sum(rng.permutation(products)[:n].tolist()) for n in (1, 2, 3, 3, 7)]
            layer.append([*sums, products[0]])
    first = b.sum(layer[0][:4], weight="shared")
    second = b.sum(layer[0][1:5], weight="shared")
    circuit = b.build(b.sum([first, second, layer[0][5]]))
    circuit = select(circuit, reachable(circuit))
    return with_values(circuit, random_weights(circuit, seed))


def arena_of(model: CompiledCircuit) -> Arena:
    """The arena, which runs packed plans without kernels."""
    model.without_kernels()
    engine = model.engines.choose(Wanted.GRADIENT)
    assert isinstance(engine, Arena)
    assert model.engines.choose(Wanted.VALUE) is engine
    return engine


@given(circuits())
def test_the_oracle_runs_packed_plans(circuit: Circuit) -> None:
    scalar = to_scalars(circuit)
    lowered = plan(scalar)
    every = worlds(scalar)
    found = log_likelihood(lowered, by_group(lowered, scalar.weights.values), every)
    want = [density(circuit, world) for world in every]
    np.testing.assert_allclose(np.exp(found), want, rtol=1e-12)


@settings(max_examples=30)
@given(circuits(reals=True))
def test_torch_equals_the_oracle(circuit: Circuit) -> None:
    scalar = to_scalars(circuit)
    x = random_rows(scalar, 0)
    lowered = plan(circuit.replace(generator=Direct(floor=0.0)))
    want = log_likelihood(lowered, by_group(lowered, circuit.weights.values), x)
    for dtype, tolerance in (("float64", 1e-11), ("float32", 2e-5)):
        model = pc.compile(scalar, dtype=dtype)  # type: ignore[call-overload]  # a literal
        model.without_kernels()
        with torch.no_grad():
            found = model.log_likelihood(torch.from_numpy(x)).cpu().numpy()
        np.testing.assert_allclose(found, want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("reals", [False, True])
def test_gradients_equal_finite_differences(reals: bool, gradcheck: Check) -> None:
    circuit = ragged(reals)
    model = pc.compile(circuit.replace(generator=Direct()), dtype="float64")
    arena_of(model)
    x = torch.from_numpy(random_rows(circuit, 1))
    gradcheck(model, x)


def answers(circuit: Circuit, x: Tensor, *, packed: bool, linear: bool) -> list[Tensor]:
    """Log-likelihoods, and the gradient of their sum with respect to each parameter."""
    lowered = replace(plan(circuit, dtype="float64"), packed=packed)
    model = CompiledCircuit(
        circuit, lowered, device=torch.device("cpu"), dtype=torch.float64, seed=0
    )
    model.set_weights(circuit.weights.values)
    model.without_kernels()
    engine = model.engines.choose(Wanted.GRADIENT)
    assert isinstance(engine, Arena) == packed
    if isinstance(engine, Arena):
        engine.linear &= linear
    value = model.log_likelihood(x)
    value.sum().backward()
    return [value.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


@settings(max_examples=40)
@given(circuits(reals=True, zeros=False))
def test_any_plan_runs_in_an_arena(circuit: Circuit) -> None:
    """Vector circuits of all kinds; the other engine is tested by finite differences elsewhere."""
    x = torch.from_numpy(random_rows(circuit, 6))
    circuit = circuit.replace(generator=Direct())
    assume(not plan(circuit).packed)
    want = answers(circuit, x, packed=False, linear=True)
    for linear in (True, False):
        found = answers(circuit, x, packed=True, linear=linear)
        for one, other in zip(found, want, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-8)


def weight_gradients(circuit: Circuit, x: Tensor, linear: bool) -> dict[str, Tensor]:
    model = pc.compile(circuit, dtype="float64")
    model.without_kernels()
    engine = model.engines.choose(Wanted.GRADIENT)
    if isinstance(engine, Arena):
        engine.linear &= linear
    model.log_likelihood(x).nan_to_num(neginf=0.0).sum().backward()
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@settings(max_examples=30)
@given(circuits())
def test_linear_and_log_space_have_the_same_gradients(circuit: Circuit) -> None:
    scalar = to_scalars(circuit).replace(generator=Direct(floor=1e-6))
    x = torch.from_numpy(random_rows(scalar, 2))
    linear, log = (weight_gradients(scalar, x, choice) for choice in (True, False))
    assert linear.keys() == log.keys()
    for name, grad in linear.items():
        torch.testing.assert_close(grad, log[name], rtol=1e-7, atol=1e-8)


@settings(max_examples=30)
@given(circuits(zeros=False))
def test_gradients_equal_those_of_the_vector_circuit(circuit: Circuit) -> None:
    """Parameter gradients of a row, summed by weight entry: dL/dlog w is the flow of an edge."""
    scalar = to_scalars(circuit)
    x = torch.from_numpy(random_rows(scalar, 3))
    flows = []
    for each in (circuit, scalar):
        model = pc.compile(each, dtype="float64")
        model.without_kernels()
        tables, leaves = model.weights()
        tables = [table.detach().requires_grad_() for table in tables]
        rows = model.prepare(x)
        engine = model.engines.choose(Wanted.GRADIENT)
        operands = [*model.leaf_inputs(rows, leaves), *tables]
        value = run(engine, Batch(rows), operands, Wanted.GRADIENT).sum()
        grads = torch.autograd.grad(value, tables)
        flows.append(
            sorted(
                float(f)
                for table, grad, use in zip(tables, grads, model.plan.uses, strict=False)
                if model.plan.groups[use.group].is_sum
                for f in (table * grad).detach().flatten()
                if abs(f) > 1e-9
            )
        )
    np.testing.assert_allclose(flows[0], flows[1], rtol=1e-6, atol=1e-8)


def test_rows_below_the_range_of_linear_space_are_evaluated_in_log_space() -> None:
    n = 400
    b = Builder()
    for i in range(n):
        b.binary(f"x{i}")
    parts = [b.product([b.bernoulli(v, [p]) for v in range(n)]) for p in (0.3, 0.4, 0.9)]
    pair = b.sum(parts[:2], weights=[0.5, 0.5])
    other = b.sum([pair, parts[2]], weights=[0.125, 0.875])
    circuit = b.build(b.sum([pair, other], weights=[0.25, 0.75]))
    x = np.random.default_rng(0).integers(0, 2, (50, n)).astype(np.float64)
    x[:5, 20:] = np.nan  # a few rows for which linear space suffices
    x[5] = 1.0
    lowered = plan(circuit)
    assert lowered.packed
    want = log_likelihood(lowered, by_group(lowered, circuit.weights.values), x)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-6)):
        model = pc.compile(circuit, dtype=dtype)  # type: ignore[call-overload]  # a literal
        arena_of(model)
        for _ in range(4):  # linear space is given up after a few failures
            found = model.log_likelihood(x).detach()
            np.testing.assert_allclose(found.cpu().numpy(), want, rtol=tolerance)
        model.log_likelihood(x).sum().backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())


def test_the_certain_root_counts_every_operation() -> None:
    """Long products lose as much as long sums, since each factor may underflow."""
    b = Builder()
    parts = [b.product([b.bernoulli(b.binary(f"x{i}")) for i in range(50)])]
    parts.append(b.product([b.bernoulli(v) for v in range(50)]))
    pair = b.sum(parts)
    circuit = b.build(b.sum([pair, b.sum([pair, parts[0]])]))
    program = make_program(plan(circuit), torch.device("cpu"))
    assert program.operations >= 2 * 50 + 2 * 6 + 100 * 2
    assert make_program(plan(pc.rat_spn(4, 2, 3)), torch.device("cpu")).operations >= 2 * 3 * 3 * 4


def test_impossible_rows() -> None:
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    on = [b.product([b.bernoulli(x, [p]), b.bernoulli(y, [q])]) for p, q in ((1, 1), (1, 0.5))]
    third = b.product([b.bernoulli(x, [1]), b.bernoulli(y, [0.5])])
    pair = b.sum([*on, third], weights=[0.5, 0.25, 0.25])
    circuit = b.build(b.sum([b.sum([pair, on[1]], weights=[0.5, 0.5]), pair], weights=[0.5, 0.5]))
    model = pc.compile(circuit)
    arena_of(model)
    value = model.log_likelihood(np.array([[0, 0], [1, 0], [1, 1], [np.nan, np.nan]]))
    assert value.tolist() == pytest.approx([-np.inf, np.log(0.3125), np.log(0.6875), 0.0], abs=1e-6)
    value[1:].sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_padding_and_packing_are_no_parameters() -> None:
    circuit = ragged()
    model = pc.compile(circuit)
    assert model.plan.packed
    assert model.num_parameters == int(circuit.weights.sizes.sum())
    values = model.weight_values()
    assert values.keys() == circuit.weights.values.keys()
    for weight, table in circuit.weights.values.items():
        np.testing.assert_allclose(values[weight], table, rtol=1e-6)


def test_a_scalar_circuit_trains() -> None:
    circuit = ragged().replace(generator=Direct())
    model = pc.compile(circuit, dtype="float64")
    arena_of(model)
    x = torch.from_numpy(random_rows(circuit, 4, number=200, missing=0.1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    losses: list[float] = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = -model(x).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.05
    every = torch.from_numpy(worlds(circuit))
    with torch.no_grad():
        assert float(model(every).exp().sum()) == pytest.approx(1.0, abs=1e-9)


def test_rows_do_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = ragged()
    x = torch.from_numpy(random_rows(circuit, 5, number=100))
    whole = pc.compile(circuit, dtype="float64")
    arena_of(whole)
    value = whole.log_likelihood(x)
    value.sum().backward()
    monkeypatch.setattr("pccompiler.torch_backend.engines.arena.engine._CACHE_BYTES", 1)
    parts = pc.compile(circuit, dtype="float64")
    arena_of(parts)
    again = parts.log_likelihood(x)
    again.sum().backward()
    torch.testing.assert_close(again, value, rtol=1e-12, atol=0.0)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-12)


def test_layers_are_few_whatever_the_fan_ins() -> None:
    lowered = plan(ragged())
    assert lowered.packed
    assert len(lowered.layers) <= 9
    fan_ins = {o.arity for layer in lowered.layers if layer.ragged for o in layer.operands}
    assert fan_ins >= {1, 2, 3, 7}
    assert "fan-in 1 to 7" in lowered.summary()
