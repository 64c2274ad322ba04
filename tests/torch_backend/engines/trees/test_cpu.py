"""Trees in C on the CPU against layer-by-layer evaluation in float64."""

from __future__ import annotations

import logging
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import pccompiler as pc
from pccompiler import log as notices
from pccompiler.ir.node_table import WeightTable
from pccompiler.structures import naive_bayes_mixture
from pccompiler.torch_backend.engines.trees.cpu import TreesOnCPU
from pccompiler.torch_backend.runtime.kernel_cache import KernelError

pytestmark = [pytest.mark.cpu, pytest.mark.usefixtures("needs_a_compiler")]


def rows(batch: int, variables: int, missing: bool) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    x = torch.randint(0, 2, (batch, variables), generator=generator).float()
    if missing:
        x[torch.rand(x.shape, generator=generator) < 0.2] = torch.nan
    return x


def gradient(model: pc.CompiledCircuit, x: Tensor, weights: Tensor) -> Tensor:
    value = (model(x) * weights).sum()
    grads = torch.autograd.grad(value, list(model.parameters()))
    return torch.cat([grad.double().flatten() for grad in grads])


@settings(max_examples=25)
@given(
    variables=st.integers(2, 40),
    replicas=st.integers(1, 4),
    units=st.sampled_from([2, 3, 5]),
    batch=st.sampled_from([1, 2, 3, 31, 33, 70, 130]),
    missing=st.booleans(),
    network=st.booleans(),
    seed=st.integers(0, 9),
)
def test_values_and_gradients(
    variables: int,
    replicas: int,
    units: int,
    batch: int,
    missing: bool,
    network: bool,
    seed: int,
) -> None:
    circuit = pc.rat_spn(variables, replicas, units, seed=seed)
    net = pc.Hypernetwork(hidden=(6,)) if network else None
    fast = pc.compile(circuit, net, seed=seed)
    exact = pc.compile(circuit, net, dtype="float64", seed=seed)
    assert isinstance(fast.kernels, TreesOnCPU)
    exact.without_kernels()
    x = rows(batch, variables, missing)
    weights = torch.linspace(0.5, 1.5, batch)
    want = exact(x.double()).detach()
    torch.testing.assert_close(fast(x).detach().double(), want, rtol=2e-6, atol=2e-6)
    found, true = gradient(fast, x, weights), gradient(exact, x.double(), weights.double())
    # Gradients of a softmax cancel: compare with those of the weights, which are about batch.
    assert float((found - true).norm()) < 1e-4 * float(true.norm()) + 1e-6 * batch


@pytest.mark.parametrize("units", [8, 16])
def test_more_units(units: int) -> None:
    circuit = pc.rat_spn(12, 3, units, seed=1)
    fast, exact = pc.compile(circuit), pc.compile(circuit, dtype="float64")
    assert isinstance(fast.kernels, TreesOnCPU)
    x, ones = rows(70, 12, True), torch.ones(70)
    found, true = gradient(fast, x, ones), gradient(exact, x.double(), ones.double())
    assert float((found - true).norm() / true.norm()) < 1e-4


def test_long_rows_need_their_scale() -> None:
    circuit = pc.rat_spn(900, 1, 3, seed=0)  # 900 values underflow float32 by far
    fast, exact = pc.compile(circuit), pc.compile(circuit, dtype="float64")
    x = rows(5, 900, False)
    torch.testing.assert_close(fast(x).double(), exact(x.double()), rtol=1e-6, atol=0.0)


def test_any_batch_and_any_threads_give_the_same() -> None:
    model = pc.compile(pc.rat_spn(60, 7, 5, seed=0), pc.Hypernetwork())
    x, ones = rows(512, 60, True), torch.ones(512)
    whole, values = gradient(model, x, ones), model(x).detach()
    for batch in (33, 100, 500):
        assert torch.equal(model(x[:batch]).detach(), values[:batch])
    for batch in (1, 7):
        torch.testing.assert_close(model(x[:batch]).detach(), values[:batch], rtol=1e-6, atol=0)
    parts = sum(gradient(model, part, torch.ones(len(part))) for part in x.split(100))
    assert float((parts - whole).norm() / whole.norm()) < 1e-5
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            again = gradient(model, x, ones)
            assert float((again - whole).norm() / whole.norm()) < 1e-6
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("tied", [False, True])
def test_threads_do_not_change_a_bit(tied: bool) -> None:
    circuit = pc.rat_spn(40, 6, 4, seed=0)
    if tied:  # one weight for each shape: threads would add to the same gradients
        shapes = np.stack([circuit.weights.rows, circuit.weights.columns], 1)
        kinds, place = np.unique(shapes, axis=0, return_inverse=True)
        one = np.where(circuit.weight >= 0, place.ravel()[circuit.weight], -1)
        circuit = circuit.replace(weight=one, weights=WeightTable(*kinds.T))
    model = pc.compile(circuit)
    assert isinstance(model.kernels, TreesOnCPU)
    assert model.kernels.forest.separate is not tied
    x, ones = rows(1000, 40, True), torch.ones(1000)
    before = torch.get_num_threads()
    found: list[Tensor] = []
    try:
        for threads in (1, 2, 3, 6, 6):
            torch.set_num_threads(threads)
            found.append(torch.cat([model(x).detach().double(), gradient(model, x, ones)]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(other, found[0]) for other in found[1:])


def test_copies_are_models_of_their_own() -> None:
    model = pc.compile(pc.rat_spn(9, 2, 3, seed=0))
    x = rows(5, 9, False)
    before = model(x).detach()
    copy = deepcopy(model)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.add_(torch.rand_like(parameter))
    assert torch.equal(model(x).detach(), before)
    assert not torch.equal(copy(x).detach(), before)


def test_no_rows() -> None:
    model = pc.compile(pc.rat_spn(9, 2, 3, seed=0))
    assert model(rows(0, 9, False)).shape == (0,)


def test_other_circuits_run_in_other_engines() -> None:
    assert not isinstance(pc.compile(naive_bayes_mixture(5, 4)).kernels, TreesOnCPU)
    assert not isinstance(pc.compile(pc.rat_spn(6, 2, 20)).kernels, TreesOnCPU)


def test_kernels_that_fail_give_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> Tensor:
        raise KernelError("no luck")

    monkeypatch.setattr(notices, "_SAID", set())
    monkeypatch.setattr(TreesOnCPU, "up", fail)
    model = pc.compile(pc.rat_spn(6, 2, 3))
    with caplog.at_level(logging.WARNING, logger="pccompiler"):
        for _ in range(2):
            assert model(rows(3, 6, False)).shape == (3,)
    assert model.kernels is None
    assert [record.getMessage() for record in caplog.records] == [
        "fused kernels failed, so the circuit runs layer by layer: no luck"
    ]
