"""Gradients against finite differences, and the flow invariant."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import pccompiler as pc
from pccompiler.ir import Builder, Circuit, Hypernetwork, categorical, real
from pccompiler.structures import naive_bayes_mixture
from pccompiler.testing.strategies import circuits
from pccompiler.testing.strategies import rows as random_rows
from pccompiler.torch_backend.engines.differentiable import run
from pccompiler.torch_backend.engines.questions import Batch, Wanted

Check = Callable[[torch.nn.Module, Tensor], None]
WAYS: tuple[tuple[pc.api.Numerics, bool], ...] = (("auto", True), ("auto", False), ("log", False))
"""Numeric forms, which only layers in torch have, and whether kernels run."""


def shared() -> Circuit:
    """A DAG: nodes read twice, shared weights, Kronecker products, operands of several widths."""
    b = Builder()
    x, y, z = b.binary("x"), b.variable(categorical("y", 3)), b.real("z")
    left = b.sum([b.indicator(x)], 2)
    right = b.sum([b.indicator(y)], 2)
    grid = b.kronecker([left, right])
    pairs = b.product([left, right])
    first = b.sum([grid, pairs], 3, weight="w")
    second = b.sum([grid, pairs], 3, weight="w")
    top = b.mixture(
        [b.product([first, b.gaussian(z, units=3)]), b.product([second, b.gaussian(z, units=3)])]
    )
    return b.build(b.sum([top], 1))


CIRCUITS: dict[str, Callable[[], Circuit]] = {
    "tree": lambda: pc.rat_spn(6, 3, 3),
    "odd": lambda: pc.rat_spn(7, 2, 2, depth=1),
    "hmm": lambda: pc.hmm(4, 3),
    "mixture": lambda: naive_bayes_mixture(5, 4),
    "reals": lambda: naive_bayes_mixture([real("a"), categorical("b", 4)], 3),
    "shared": shared,
}


def rows(circuit: Circuit) -> Tensor:
    rng = np.random.default_rng(0)
    columns = [
        rng.integers(0, v.cardinality, 6) if v.discrete else rng.normal(size=6)
        for v in circuit.variables
    ]
    x = np.stack(columns, axis=1).astype(np.float64)
    x[0, 1] = np.nan
    return torch.from_numpy(x)


@pytest.mark.parametrize(("numerics", "kernels"), WAYS)
@pytest.mark.parametrize(
    "net", [None, Hypernetwork(hidden=(4,), embedding=2)], ids=["direct", "net"]
)
@pytest.mark.parametrize("name", CIRCUITS)
def test_gradients_equal_finite_differences(
    name: str,
    net: Hypernetwork | None,
    numerics: pc.api.Numerics,
    kernels: bool,
    gradcheck: Check,
) -> None:
    circuit = CIRCUITS[name]()
    model = pc.compile(circuit, net, dtype="float64", numerics=numerics)
    if not kernels:
        model.without_kernels()
    x = rows(circuit)
    gradcheck(model, x)


@settings(max_examples=25)
@given(circuits(max_variables=3, reals=True, values=False), st.integers(0, 1000))
def test_gradients_of_random_circuits(circuit: Circuit, seed: int) -> None:
    x = torch.from_numpy(random_rows(circuit, seed, number=3))
    for numerics, kernels in WAYS:
        model = pc.compile(circuit, dtype="float64", numerics=numerics, seed=seed)
        if not kernels:
            model.without_kernels()
        parameters = list(model.parameters())
        grads = torch.autograd.grad(model(x).sum(), parameters)
        rng = torch.Generator(torch.get_default_device()).manual_seed(seed)
        for parameter, grad in zip(parameters, grads, strict=True):
            direction = torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
            values: list[float] = []
            for step in (1e-6, -1e-6):
                with torch.no_grad():
                    parameter.add_(direction, alpha=step)
                    values.append(float(model(x).sum()))
                    parameter.sub_(direction, alpha=step)
            slope = (values[0] - values[1]) / 2e-6
            # central differences with step 1e-6 have a rounding error of about 1e-9
            assert float((grad * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("kernels", [True, False])
def test_a_second_backward_pass_finds_the_same_values(kernels: bool) -> None:
    model = pc.compile(pc.rat_spn(6, 3, 3), dtype="float64")
    if not kernels:
        model.without_kernels()
    value = model(rows(model.circuit)).sum()
    parameters = list(model.parameters())
    first = torch.autograd.grad(value, parameters, retain_graph=True)
    with torch.no_grad():
        model(rows(model.circuit))  # another evaluation must not reuse the kept buffers
    second = torch.autograd.grad(value, parameters)
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=0)


@pytest.mark.parametrize("batch", [1, 7, 100, 500, 512])
def test_flows_count_the_rows(batch: int) -> None:
    """A sum's expected counts, w dL/dw, add up to one per row and active region.

    For a RAT-SPN the replicas' root regions share each row: their flows sum to the batch.
    """
    model = pc.compile(pc.rat_spn(9, 4, 3), dtype="float64")
    model.without_kernels()
    x = model.prepare(np.random.default_rng(0).integers(0, 2, (batch, 9)))
    tables, gaussians = model.weights()
    held = [table.detach().requires_grad_() for table in tables]
    engine = model.engines.choose(Wanted.GRADIENT)
    value = run(engine, Batch(x), [*model.leaf_inputs(x, gaussians), *held], Wanted.GRADIENT)
    grads = torch.autograd.grad(value.sum(), held)
    flows = [float((w * g).detach().sum()) for w, g in zip(held, grads, strict=True)]
    layers = [layer for layer in model.plan.layers if layer.group >= 0]
    for layer, flow in zip(layers, flows, strict=True):
        regions = layer.rows / 4 if layer.rows > 1 else 1  # in one replica
        assert flow == pytest.approx(batch * regions, rel=1e-10)


def test_a_shared_weight_gathers_all_its_flows() -> None:
    model = pc.compile(pc.hmm(6, 3), dtype="float64")
    transitions = model.weights.values["logits_sum_3x3"]
    assert transitions.shape == (1, 3, 3)
    value = model(torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0]], dtype=torch.float64)).sum()
    (grad,) = torch.autograd.grad(value, [transitions])
    assert float(grad.abs().sum()) > 0
