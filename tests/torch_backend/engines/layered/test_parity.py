"""Layers in torch, and the engine that is chosen, against the float64 oracle.

Values, missing data, numeric forms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.ir import (
    Builder,
    Circuit,
    Direct,
    Hypernetwork,
    Kind,
    Sectors,
    categorical,
    real,
)
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.testing import marginal
from pccompiler.testing.strategies import circuits, rows
from pccompiler.torch_backend import CompiledCircuit


def mixed() -> Circuit:
    """Real, categorical and binary columns in one mixture."""
    from pccompiler.structures import naive_bayes_mixture

    return naive_bayes_mixture([real("height"), categorical("colour", 4), real("width")], 3)


def kronecker() -> Circuit:
    """Operands of different widths, a Kronecker product, shared nodes and a mixed dense sum."""
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    left, right = b.sum([b.indicator(x)], 2), b.sum([b.indicator(y)], 3)
    square = b.kronecker([left, right])
    pairs = b.product([b.bernoulli(x, units=4), b.bernoulli(y, units=4)])
    wide = b.sum([square, pairs], 5)
    return b.build(b.mixture([b.sum([wide], 1), b.sum([pairs, square], 1)]))


CIRCUITS = {
    "rat-16": lambda: pc.rat_spn(16, 5, 4),
    "rat-13": lambda: pc.rat_spn(13, 3, 3),
    "rat-1": lambda: pc.rat_spn(1, 2, 3),
    "rat-69": lambda: pc.rat_spn(69, 4, 5),
    "shallow": lambda: pc.rat_spn(20, 3, 4, depth=2),
    "flat": lambda: pc.rat_spn(6, 3, 4, depth=0),
    "bernoulli": lambda: pc.rat_spn(9, 3, 3, leaf="bernoulli"),
    "hmm": lambda: pc.hmm(12, 4),
    "hmm-free": lambda: pc.hmm(7, 3, homogeneous=False),
    "mixed": mixed,
    "kronecker": kronecker,
}
GENERATORS = {
    "direct": None,
    "hypernetwork": Hypernetwork(),
    "slice": Hypernetwork(heads="slice"),
    "reference": Hypernetwork(allocation="reference"),
}


def rows_for(circuit: Circuit, number: int = 30, missing: float = 0.2) -> np.ndarray:
    return rows(circuit, 0, number, missing)


def ways(model: CompiledCircuit) -> Iterator[CompiledCircuit]:
    """The model as it is, then without kernels."""
    yield model
    model.without_kernels()
    yield model


def oracle(model: CompiledCircuit, x: np.ndarray) -> np.ndarray:
    weights = materialize(model.plan, model.weights.layout, model.parameters_as_numpy())
    return log_likelihood(model.plan, weights, x)


@pytest.mark.parametrize("numerics", ["auto", "log"])
@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("name", CIRCUITS)
def test_values_equal_the_oracle(name: str, generator: str, numerics: pc.api.Numerics) -> None:
    circuit = CIRCUITS[name]()
    if generator != "direct" and name == "mixed":
        pytest.skip("one sum of one unit: nothing to share")
    x = rows_for(circuit)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 5e-6)):  # rounding of each precision
        model = pc.compile(circuit, GENERATORS[generator], dtype=dtype, numerics=numerics)  # type: ignore[call-overload]
        for each in ways(model):
            with torch.no_grad():
                got = each.log_likelihood(x).double().cpu().numpy()
            np.testing.assert_allclose(got, oracle(each, x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("by", ["rows", "size"])
@pytest.mark.parametrize("heads", ["per-shape", "slice"])
def test_other_partitions(by: str, heads: str) -> None:
    circuit = pc.rat_spn(11, 3, 4)
    net = Hypernetwork(heads=heads)  # type: ignore[arg-type]  # parametrized text
    model = pc.compile(circuit, net, sectors=Sectors(by=by, size=3, mixtures=True), dtype="float64")  # type: ignore[arg-type, call-overload]
    x = rows_for(circuit)
    for each in ways(model):
        with torch.no_grad():
            np.testing.assert_allclose(
                each.log_likelihood(x).cpu().numpy(), oracle(each, x), rtol=1e-12
            )


def test_sliced_direct_weights() -> None:
    circuit = pc.rat_spn(16, 3, 4).replace(generator=Direct(allocation="reference"))
    model = pc.compile(circuit, dtype="float64")
    assert model.num_parameters == 2 * 16 * 3 * 4 * 4 + 3
    x = rows_for(circuit)
    for each in ways(model):
        with torch.no_grad():
            np.testing.assert_allclose(
                each.log_likelihood(x).cpu().numpy(), oracle(each, x), rtol=1e-12
            )


def test_missing_values_have_three_spellings() -> None:
    model = pc.compile(pc.rat_spn(6, 2, 3), dtype="float64")
    states = np.random.default_rng(0).integers(0, 2, (20, 6))
    gone = np.random.default_rng(1).random(states.shape) < 0.4
    for each in ways(model):
        by_nan = each.log_likelihood(np.where(gone, np.nan, states))
        by_mask = each.log_likelihood(states, mask=gone)
        by_code = each.log_likelihood(np.where(gone, -1, states), missing=-1)
        assert torch.equal(by_nan, by_mask)
        assert torch.equal(by_nan, by_code)


def test_nothing_observed_has_probability_one() -> None:
    for make in CIRCUITS.values():
        circuit = make()
        model = pc.compile(circuit, dtype="float64")
        for each in ways(model):
            value = each.log_likelihood(np.full((1, len(circuit.variables)), np.nan))
            assert abs(float(value.detach())) < 1e-12


def test_given_weights_with_zeros_are_exact() -> None:
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    both = [
        b.product([b.sum([b.indicator(x)], weights=[1 - p, p]), b.bernoulli(y, [q])])
        for p, q in ((1.0, 0.25), (0.0, 1.0))
    ]
    circuit = b.build(b.sum(both, weights=[0.5, 0.5]))
    model = pc.compile(circuit, dtype="float64")
    for each in ways(model):
        got = each.log_likelihood([[0, 0], [0, 1], [1, 0], [1, 1]]).exp().tolist()
        assert got == pytest.approx([0.0, 0.5, 0.375, 0.125], rel=1e-14)


def test_zero_density_is_minus_infinity_and_gradients_stay_finite() -> None:
    b = Builder()
    x = b.binary("x")
    circuit = b.build(b.sum([b.bernoulli(x, [1.0]), b.bernoulli(x, [1.0])], weights=[0.5, 0.5]))
    model = pc.compile(circuit)
    for each in ways(model):
        value = each.log_likelihood([[0], [1]])
        assert value[0] == -math.inf
        assert float(value[1].detach()) == pytest.approx(0.0, abs=1e-7)
        for grad in torch.autograd.grad(value[1], list(each.parameters())):
            assert bool(grad.isfinite().all())


def test_extreme_weights_do_not_underflow_in_float32() -> None:
    """Logits far apart: the floor keeps the linear form away from zero."""
    model = pc.compile(pc.rat_spn(64, 2, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(
                60.0
                * torch.randn(
                    parameter.shape,
                    generator=torch.Generator(torch.get_default_device()).manual_seed(0),
                )
            )
    x = np.random.default_rng(0).integers(0, 2, (50, 64)).astype(np.float64)
    for each in ways(model):
        value = each.log_likelihood(x)
        np.testing.assert_allclose(value.detach().cpu().numpy(), oracle(each, x), rtol=1e-5)
        for grad in torch.autograd.grad(value.sum(), list(each.parameters())):
            assert bool(grad.isfinite().all())


def test_complete_data_take_the_short_way_to_the_same_answer() -> None:
    model = pc.compile(pc.rat_spn(7, 3, 3), Hypernetwork(), dtype="float64")
    x = model.prepare(np.random.default_rng(0).integers(0, 2, (40, 7)))
    parameters = list(model.parameters())
    for each in ways(model):
        slow, quick = each(x), each(x, complete=True)
        assert torch.equal(slow, quick)
        for a, b in zip(
            torch.autograd.grad(slow.sum(), parameters),
            torch.autograd.grad(quick.sum(), parameters),
            strict=True,
        ):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("batch", [1, 7, 100, 500, 512])
def test_any_batch_size_gives_the_same_values(batch: int) -> None:
    model = pc.compile(pc.rat_spn(10, 3, 3), dtype="float64")
    x = rows_for(model.circuit, 512)
    for each in ways(model):
        with torch.no_grad():
            whole = each.log_likelihood(x)
            parts = torch.cat(
                [each.log_likelihood(part) for part in np.split(x, range(batch, 512, batch))]
            )
        torch.testing.assert_close(parts, whole, rtol=1e-13, atol=1e-13)


@given(circuits(max_variables=5, reals=True, values=False), st.integers(0, 1000))
def test_random_circuits(circuit: Circuit, seed: int) -> None:
    """Random structures, in linear form if the floor allows it."""
    x = rows(circuit, seed)
    for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-5)):
        model = pc.compile(circuit, dtype=dtype, seed=seed)  # type: ignore[call-overload]
        for each in ways(model):
            with torch.no_grad():
                got = each.log_likelihood(x).double().cpu().numpy()
            np.testing.assert_allclose(got, oracle(each, x), rtol=tolerance, atol=tolerance)


@given(circuits(max_variables=5), st.integers(0, 1000))
def test_random_circuits_with_given_weights(circuit: Circuit, seed: int) -> None:
    """Against enumeration, including weights of exactly zero and one."""
    x = rows(circuit, seed)
    want = [marginal(circuit, row) for row in x]
    for model in ways(pc.compile(circuit, dtype="float64")):
        with torch.no_grad():
            got = model.log_likelihood(x).exp().cpu().numpy()
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-300)


def test_a_product_layer_where_only_some_arities_carry_a_scale() -> None:
    b = Builder()
    v = [b.binary(f"x{i}") for i in range(5)]
    mixed = [b.sum([b.bernoulli(i, units=2), b.bernoulli(i, units=3)], 2) for i in v[:2]]
    plain = [b.sum([b.indicator(i)], 2) for i in v[2:]]
    tops = [b.sum([b.product(operands)], 2) for operands in (mixed, plain)]
    circuit = b.build(b.sum([b.product(tops)], 1))
    x = rows_for(circuit)
    for dtype in ("float32", "float64"):
        model = pc.compile(circuit, dtype=dtype)
        layer = next(n for n in model.plan.layers if n.kind == Kind.PRODUCT)
        below = [{model.plan.layers[s.layer].shift for s in o.sources} for o in layer.operands]
        assert below == [{True}, {False}]  # the first two operands are scaled, the three are not
        for each in ways(model):
            value = each.log_likelihood(x)
            np.testing.assert_allclose(
                value.detach().double().cpu().numpy(), oracle(each, x), rtol=1e-5
            )
            assert all(
                bool(g.isfinite().all())
                for g in torch.autograd.grad(value.sum(), list(each.parameters()))
            )


ZERO_UNITS = """pcir 1
variable x binary
variable y binary
variable z binary
%ix = input x indicator 2
%iy = input y indicator 2
%iz = input z indicator 2
%p = product %ix %iy
%a = sum 2 %p @a
%b = sum 2 %iz @b
%q = product %a %b
%c = sum 2 %ix @c
%d = sum 2 %iy @d
%e = sum 2 %iz @e
%f = product %c %d %e
%r = sum 1 %q %f @r
root %r
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_of_indicators_may_be_zero_in_every_unit(dtype: pc.api.Dtype) -> None:
    model = pc.compile(pc.ir.parse(ZERO_UNITS), dtype=dtype)
    x = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], np.float64)
    for each in ways(model):
        value = each.log_likelihood(x)
        found = value.detach().double().cpu().numpy()
        np.testing.assert_allclose(found, oracle(each, x), rtol=1e-5)
        for grad in torch.autograd.grad(value.sum(), list(each.parameters())):
            assert bool(grad.isfinite().all())


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("numerics", ["auto", "log"])
def test_a_kronecker_of_one_operand_copies_it(grad: bool, numerics: pc.api.Numerics) -> None:
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    q = b.product([b.bernoulli(x, units=3), b.bernoulli(y, units=3)])
    circuit = b.build(b.sum([b.mixture([b.sum([b.kronecker([q])], 3), q])], 1))
    for dtype in ("float32", "float64"):
        model = pc.compile(circuit, dtype=dtype, numerics=numerics)
        rows_ = rows_for(circuit)
        for each in ways(model):
            with torch.set_grad_enabled(grad):
                value = each.log_likelihood(rows_).detach().double().cpu().numpy()
            np.testing.assert_allclose(value, oracle(each, rows_), rtol=2e-6)


def test_inference_mode_does_not_spoil_later_gradients() -> None:
    model = pc.compile(pc.rat_spn(6, 2, 3))
    x = rows_for(model.circuit)
    for each in ways(model):
        with torch.inference_mode():
            each.log_likelihood(x)
        each.log_likelihood(x).sum().backward()


def test_far_points_of_gaussians_stay_finite() -> None:
    model = pc.compile(pc.rat_spn([real("a"), real("b")], 2, 3))
    for each in ways(model):
        assert bool(each.log_likelihood([[1e20, 0.0]]).isfinite().all())


def test_without_gradients_rows_are_taken_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    model = pc.compile(pc.rat_spn(8, 3, 3))
    x = rows_for(model.circuit, 50)
    model.without_kernels()
    whole = model.log_likelihood(x).detach()
    monkeypatch.setattr("pccompiler.torch_backend.engines.base._BYTES", 10_000)
    assert model.evaluation_batch < 50
    with torch.no_grad():
        torch.testing.assert_close(model.log_likelihood(x), whole)


def test_evaluations_that_live_side_by_side_do_not_share_buffers() -> None:
    model = pc.compile(pc.rat_spn(8, 3, 3), dtype="float64")
    x = rows_for(model.circuit, 30)
    parameters = list(model.parameters())
    for each in ways(model):
        alone = torch.autograd.grad(each.log_likelihood(x).sum(), parameters)
        one, other = each.log_likelihood(x), each.log_likelihood(x[::-1].copy())
        del other
        each.log_likelihood(x[:30])
        together = torch.autograd.grad(one.sum(), parameters)
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
