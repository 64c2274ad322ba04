"""Fused kernels on a GPU against float64 in level order, which does not use them."""

from __future__ import annotations

import logging
from copy import deepcopy
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import Tensor

import pccompiler as pc
from pccompiler import log as notices
from pccompiler.ir import Circuit
from pccompiler.structures import hclt, naive_bayes_mixture
from pccompiler.torch_backend.engines.base import NoMatch
from pccompiler.torch_backend.engines.dense.engine import Dense
from pccompiler.torch_backend.engines.general.cuda import GeneralOnCUDA
from pccompiler.torch_backend.engines.trees.arranged import Arranged
from pccompiler.torch_backend.engines.trees.cuda import TreesOnCUDA
from pccompiler.torch_backend.engines.trees.cuda_weights import Generated
from pccompiler.torch_backend.training.gradient import fit
from pccompiler.torch_backend.training.optimizers.adam import KernelAdam, TorchAdam

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

CIRCUITS = {
    "small": lambda: pc.rat_spn(16, 10, 5, seed=0),
    "one replica": lambda: pc.rat_spn(9, 1, 3, seed=0),
    "two variables": lambda: pc.rat_spn(2, 3, 4, seed=0),
    "two units": lambda: pc.rat_spn(40, 4, 2, seed=1),
    "six units": lambda: pc.rat_spn(40, 4, 6, seed=1),
    "eight units": lambda: pc.rat_spn(33, 4, 8, seed=1),
    "wide products": lambda: pc.rat_spn(23, 5, 3, depth=3, seed=2),
    "stages": lambda: pc.rat_spn(300, 6, 5, seed=3),
}


def models(
    circuit: Circuit, net: pc.Hypernetwork | None = None
) -> tuple[pc.CompiledCircuit, pc.CompiledCircuit]:
    """A model in float32 with kernels, and one in float64 layer by layer."""
    fast = pc.compile(circuit, net, device="cuda")
    exact = pc.compile(circuit, net, device="cuda", dtype="float64")
    exact.without_kernels()
    return fast, exact


def rows(circuit: Circuit, batch: int, missing: bool) -> Tensor:
    generator = torch.Generator(torch.get_default_device()).manual_seed(batch)
    x = torch.randint(0, 2, (batch, len(circuit.variables)), generator=generator).float()
    if missing:
        x[torch.rand(x.shape, generator=generator) < 0.2] = torch.nan
    return x.cuda()


def flat_gradient(model: pc.CompiledCircuit, x: Tensor, weights: Tensor, complete: bool) -> Tensor:
    value = (model(x, complete) * weights).sum()
    grads = torch.autograd.grad(value, list(model.parameters()))
    return torch.cat([grad.double().flatten() for grad in grads])


def relative(found: Tensor, want: Tensor) -> float:
    return float((found - want).norm() / want.norm())


def worst(model: pc.CompiledCircuit, x: Tensor, complete: bool, want: Tensor) -> float:
    """The largest relative error of a log-likelihood, or absolute below 1 nat."""
    with torch.no_grad():
        scale = want.abs().clamp_min(1.0)
        return float(((model(x, complete).double() - want) / scale).abs().max())


@pytest.mark.parametrize("net", [None, pc.Hypernetwork()], ids=["direct", "net"])
@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize(("batch", "missing"), [(1, False), (7, True), (500, True), (512, False)])
def test_values_and_gradients(
    name: str, net: pc.Hypernetwork | None, batch: int, missing: bool
) -> None:
    circuit = CIRCUITS[name]()
    fast, exact = models(circuit, net)
    assert isinstance(fast.kernels, TreesOnCUDA)
    assert isinstance(fast.kernels.source, Generated)
    x = rows(circuit, batch, missing)
    weights = torch.rand(batch, device="cuda") + 0.5
    assert worst(fast, x, not missing, exact(x.double())) < 1e-6
    found = flat_gradient(fast, x, weights, not missing)
    assert relative(found, flat_gradient(exact, x.double(), weights.double(), False)) < 1e-4


@pytest.mark.parametrize(
    "net",
    [
        pc.Hypernetwork(heads="slice"),
        pc.Hypernetwork(hidden=(12,)),
        pc.Hypernetwork(hidden=(40, 40)),
        pc.Hypernetwork(allocation="reference"),
        pc.Hypernetwork(embedding=3, hidden=(7, 9)),
        pc.Hypernetwork(embedding=400),  # too wide for a multiprocessor
    ],
)
def test_all_generators(net: pc.Hypernetwork) -> None:
    circuit = pc.rat_spn(20, 4, 5, seed=0)
    fast, exact = models(circuit, net)
    assert fast.kernels is not None
    x = rows(circuit, 100, True)
    ones = torch.ones(100, device="cuda")
    found = flat_gradient(fast, x, ones, False)
    assert relative(found, flat_gradient(exact, x.double(), ones.double(), False)) < 1e-4


def test_weights_that_torch_makes() -> None:
    circuit = pc.rat_spn(20, 4, 5, seed=0)
    fast, exact = models(circuit, None)
    assert isinstance(fast.kernels, TreesOnCUDA)
    fast.kernels.source = Arranged(fast.kernels.launcher)
    x, ones = rows(circuit, 100, True), torch.ones(100, device="cuda")
    found = flat_gradient(fast, x, ones, False)
    assert relative(found, flat_gradient(exact, x.double(), ones.double(), False)) < 1e-4


def test_rows_do_not_depend_on_their_batch() -> None:
    circuit = pc.rat_spn(100, 5, 5, seed=0)
    model = pc.compile(circuit, pc.Hypernetwork(), device="cuda")
    x = rows(circuit, 512, True)
    ones = torch.ones(512, device="cuda")
    whole, summed = flat_gradient(model, x, ones, False), torch.zeros((), device="cuda")
    for batch in (1, 7, 100, 500, 512):
        assert torch.equal(model(x)[:batch], model(x[:batch]))
    for part in x.split(100):
        summed = summed + flat_gradient(model, part, ones[: len(part)], False)
    assert relative(summed, whole) < 1e-4


def test_repeats_are_bit_for_bit_the_same() -> None:
    circuit = pc.rat_spn(100, 5, 5, seed=0)
    model = pc.compile(circuit, pc.Hypernetwork(), device="cuda")
    x, ones = rows(circuit, 500, True), torch.ones(500, device="cuda")
    first = flat_gradient(model, x, ones, False)
    for _ in range(5):
        assert torch.equal(first, flat_gradient(model, x, ones, False))


def test_training_agrees_with_float64() -> None:
    circuit = pc.rat_spn(30, 4, 5, seed=0)
    x = np.random.default_rng(0).integers(0, 2, (600, 30))
    histories = []
    for dtype in ("float32", "float64"):
        model = pc.compile(circuit, pc.Hypernetwork(), device="cuda", dtype=dtype)
        fit(model, x, steps=60, batch_size=100, weight_decay=1e-3, progress=False)
        histories.append(float(model.log_likelihood(x).detach().mean()))
    assert abs(histories[0] - histories[1]) < 2e-3


def test_copies_are_models_of_their_own() -> None:
    model = pc.compile(pc.rat_spn(9, 2, 3, seed=0), device="cuda")
    x = rows(model.circuit, 5, False)
    before = model(x)
    copy = deepcopy(model)
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.add_(torch.rand_like(parameter))
    assert torch.equal(model(x), before)
    assert not torch.equal(copy(x), before)


def test_no_rows_and_many() -> None:
    model = pc.compile(pc.rat_spn(9, 2, 3, seed=0), device="cuda")
    assert model(rows(model.circuit, 0, False)).shape == (0,)
    x = rows(model.circuit, 300_000, True)
    with torch.no_grad():
        assert torch.equal(model(x)[-7:], model(x[-7:]))


@pytest.mark.parametrize(
    ("precision", "bound"), [("highest", 1e-6), ("high", 1e-4), ("medium", 1e-3)]
)
def test_wide_circuits_follow_torchs_precision(precision: str, bound: float) -> None:
    data = np.random.default_rng(0).integers(0, 2, (300, 12)).cumsum(axis=1) % 2
    circuit = hclt(data, 16)
    fast, exact = models(circuit)
    assert isinstance(fast.kernels, Dense)
    x = rows(circuit, 100, True)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        assert worst(fast, x, False, exact(x.double())) < bound
    finally:
        torch.set_float32_matmul_precision(before)


def test_a_fallback_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GeneralOnCUDA, "fit", Mock(side_effect=NoMatch("it is too large")))
    notices._SAID.clear()
    with caplog.at_level(logging.WARNING, logger="pccompiler"):
        for _ in range(2):
            model = pc.compile(naive_bayes_mixture(5, 4), device="cuda")
            assert model(rows(model.circuit, 3, False)).shape == (3,)
    assert len(caplog.records) == 1


def test_adam_is_adam() -> None:
    shapes = ((1000, 5), (20, 5), (7,), (3, 4, 5), (70_001,))
    ours = [torch.randn(shape, device="cuda") for shape in shapes]
    theirs = [parameter.clone() for parameter in ours]
    kernel, torchs = KernelAdam(ours, 5e-3, 1e-2), TorchAdam(theirs, 5e-3, 1e-2)
    for step in range(10):
        gradients = [torch.randn_like(parameter) * 10.0 ** (step - 5) for parameter in ours]
        kernel.step(gradients)
        torchs.step(gradients)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
