"""Derivatives of second and third order, and by the data, whichever engine ran forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import pccompiler as pc
from pccompiler.errors import OptionError
from pccompiler.ir import (
    Builder,
    Circuit,
    Direct,
    Family,
    Hypernetwork,
    Sectors,
    binary,
    categorical,
    real,
)
from pccompiler.structures import naive_bayes_mixture
from pccompiler.testing.families import FAMILIES, PARAMETRIC, family_mixture
from pccompiler.testing.random_circuits import rows as random_rows
from pccompiler.testing.random_weights import random_weights, with_values
from pccompiler.testing.scalars import to_scalars
from pccompiler.testing.strategies import circuits
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.engines.trees.cpu import TreesOnCPU
from pccompiler.torch_backend.runtime.c_compiler import load_c_if_any
from pccompiler.torch_backend.weights.softmax_cpu import _SOURCE as SOFTMAX

SMOOTH = tuple(family for family in Family if family != Family.LAPLACE)  # which has a kink
REALS = (Family.GAUSSIAN, Family.LAPLACE, Family.HISTOGRAM)
IN_C = pytest.mark.skipif(load_c_if_any(SOFTMAX, ()) is None, reason="no C compiler")


def kinds() -> Circuit:
    """Kronecker and elementwise products, dense sums of two widths, a mixture, a shared weight."""
    b = Builder()
    x, y, z = b.binary("x"), b.variable(categorical("y", 3)), b.real("z")
    left, right = b.sum([b.indicator(x)], 2), b.sum([b.indicator(y)], 2)
    grid, pairs = b.kronecker([left, right]), b.product([left, right])
    first = b.sum([grid, pairs], 2, weight="w")
    second = b.sum([grid, pairs], 2, weight="w")
    gaussian = b.gaussian(z, units=2)
    top = b.mixture([b.product([first, gaussian]), b.product([second, gaussian])])
    return b.build(b.sum([top], 1))


def scalars(variables: int) -> Circuit:
    """A tree of single units, which is packed; two of its variables are real."""
    columns = [real(f"v{i}") if i < 2 else binary(f"v{i}") for i in range(variables)]
    circuit = pc.rat_spn(columns, 2, 2)
    return to_scalars(with_values(circuit, random_weights(circuit, 0)))


def scalar_mixtures() -> Circuit:
    """A packed circuit whose mixtures, of single units, have two and three operands."""
    b = Builder([binary(f"v{i}") for i in range(4)])
    leaves = [b.bernoulli(i) for i in range(4)]
    pairs = [[b.product(leaves[i : i + 2]) for _ in range(n)] for i, n in ((0, 3), (2, 2))]
    return b.build(b.product([b.mixture(some) for some in pairs]))


def some_rows(circuit: Circuit, number: int = 3, missing: float = 0.0) -> Tensor:
    return torch.from_numpy(random_rows(circuit, 0, number=number, missing=missing))


def of_parameters(model: CompiledCircuit, x: Tensor) -> Callable[..., Tensor]:
    """The log-likelihood as a function of the parameters."""
    names = [name for name, _ in model.named_parameters()]

    def evaluate(*parameters: Tensor) -> Tensor:
        named = dict(zip(names, parameters, strict=True))
        result: Tensor = torch.func.functional_call(model, named, (x,))
        return result

    return evaluate


def check_second(model: CompiledCircuit, x: Tensor, *, fast: bool = False) -> None:
    """Second derivatives of the parameters against finite differences of the first ones."""
    inputs = tuple(model.parameters())
    assert torch.autograd.gradgradcheck(of_parameters(model, x), inputs, fast_mode=fast)


def slope(value: Tensor, inputs: Sequence[Tensor], graph: bool = False) -> tuple[Tensor, ...]:
    return torch.autograd.grad(value.sum(), list(inputs), create_graph=graph)


def curvature(model: CompiledCircuit, x: Tensor, seed: int = 0) -> list[Tensor]:
    """The Hessian by all parameters, times a fixed random direction."""
    rng = torch.Generator(torch.get_default_device()).manual_seed(seed)
    parameters = list(model.parameters())
    grads = slope(model(x), parameters, graph=True)
    ways = [torch.randn(p.shape, generator=rng, dtype=torch.float64).to(p) for p in parameters]
    total = torch.stack([(g * way).sum() for g, way in zip(grads, ways, strict=True)]).sum()
    return list(torch.autograd.grad(total, parameters, materialize_grads=True))


def test_a_mixture_of_two_gaussians() -> None:
    """A case that was once silently wrong: the gradient from above is a constant."""
    model = pc.compile(naive_bayes_mixture([real("x")], 2), dtype="float64")
    x = torch.tensor([[0.3]], dtype=torch.float64)
    logits = next(p for n, p in model.named_parameters() if "sum" in n)
    (first,) = slope(model(x), [logits], graph=True)
    (second,) = torch.autograd.grad(first.flatten()[0], logits)
    with torch.no_grad():
        logits.view(-1)[0] += 1e-6
    above = slope(model(x), [logits])[0]
    with torch.no_grad():
        logits.view(-1)[0] -= 2e-6
    below = slope(model(x), [logits])[0]
    torch.testing.assert_close(second, (above - below) / 2e-6, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("family", PARAMETRIC, ids=lambda family: family.keyword)
def test_every_family_by_its_parameters(family: Family) -> None:
    circuit = family_mixture(2, [family])
    x = some_rows(circuit, number=4)
    x[0, 0] = torch.nan
    check_second(pc.compile(circuit, dtype="float64"), x)


@pytest.mark.parametrize("family", REALS, ids=lambda family: family.keyword)
@pytest.mark.parametrize("numerics", ["auto", "log"])
def test_real_families_by_their_data(family: Family, numerics: pc.api.Numerics) -> None:
    model = pc.compile(family_mixture(3, [family]), dtype="float64", numerics=numerics)
    x = torch.tensor([[0.3], [-1.1], [0.7]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (x,))
    assert torch.autograd.gradgradcheck(model, (x,))


def test_data_and_parameters_together() -> None:
    model = pc.compile(kinds(), dtype="float64")
    x = some_rows(model.circuit)
    z = x[:, 2].clone().requires_grad_()
    names = [name for name, _ in model.named_parameters()]

    def evaluate(z: Tensor, *parameters: Tensor) -> Tensor:
        rows = torch.cat([x[:, :2], z.unsqueeze(1)], dim=1)
        named = dict(zip(names, parameters, strict=True))
        result: Tensor = torch.func.functional_call(model, named, (rows,))
        return result

    inputs = (z, *model.parameters())
    assert torch.autograd.gradcheck(evaluate, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(evaluate, inputs, fast_mode=True)


def test_the_hessian_by_the_data() -> None:
    model = pc.compile(naive_bayes_mixture([real("a"), real("b")], 3), dtype="float64")
    point = torch.tensor([0.4, -0.8], dtype=torch.float64)

    def evaluate(point: Tensor) -> Tensor:
        result: Tensor = model(point.unsqueeze(0))[0]
        return result

    found = torch.autograd.functional.hessian(evaluate, point)
    step, eye = 1e-4, torch.eye(2, dtype=torch.float64)
    want = torch.empty(2, 2, dtype=torch.float64)
    with torch.no_grad():
        for i in range(2):
            for j in range(2):
                corners = [
                    a * b * evaluate(point + step * (a * eye[i] + b * eye[j]))
                    for a in (1, -1)
                    for b in (1, -1)
                ]
                want[i, j] = torch.stack(corners).sum() / (4 * step * step)
    # rounding of 1e-16 divided by step**2
    torch.testing.assert_close(found, want, rtol=1e-5, atol=1e-6)


STRUCTURES: dict[str, Callable[[], Circuit]] = {
    "kinds": kinds,
    "tree": lambda: pc.rat_spn(4, 2, 2),
    "hmm": lambda: pc.hmm(3, 2),
    "families": lambda: family_mixture(2),
    "packed": lambda: scalars(4),
    "packed mixtures": scalar_mixtures,
}


@pytest.mark.parametrize("numerics", ["auto", "log"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_every_kind_of_layer(name: str, numerics: pc.api.Numerics) -> None:
    circuit = STRUCTURES[name]()
    model = pc.compile(circuit, dtype="float64", numerics=numerics)
    assert model.plan.packed == name.startswith("packed")
    check_second(model, some_rows(circuit, missing=0.2), fast=True)


@pytest.mark.parametrize(
    "generator",
    [
        Direct(floor=0.0),
        Direct(floor=1e-3),
        Direct(allocation="reference"),
        Hypernetwork(hidden=(3,), embedding=2),
        Hypernetwork(hidden=(3,), embedding=2, heads="slice"),
        Hypernetwork(hidden=(3, 2), embedding=2, allocation="reference", floor=1e-3),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "sectors",
    [Sectors(), Sectors(by="rows"), Sectors(by="size", size=3)],
    ids=["block", "rows", "size"],
)
def test_every_generator(generator: Direct | Hypernetwork, sectors: Sectors) -> None:
    circuit = pc.rat_spn(4, 2, 2)
    if isinstance(generator, Direct):
        circuit = circuit.replace(generator=generator)
        model = pc.compile(
            circuit,
            dtype="float64",
            sectors=sectors if generator.allocation == "reference" else None,
        )
    else:
        model = pc.compile(circuit, generator, dtype="float64", sectors=sectors)
    check_second(model, some_rows(circuit), fast=True)


@pytest.mark.parametrize("budget", ["1 MiB", "64 KiB"])
@pytest.mark.parametrize(
    "net", [None, Hypernetwork(hidden=(4,), embedding=2)], ids=["direct", "net"]
)
def test_within_a_budget(budget: str, net: Hypernetwork | None) -> None:
    """With the second budget, segments are evaluated again on the way down."""
    columns = [real(f"v{i}") if i % 2 else binary(f"v{i}") for i in range(16)]
    circuit = pc.rat_spn(columns, 4, 3)
    whole = pc.compile(circuit, net, dtype="float64")
    tight = pc.compile(circuit, net, dtype="float64", memory_budget=budget)
    assert tight.schedule is not None
    assert (tight.schedule.training_splits > 0) == (budget == "64 KiB")
    x = some_rows(circuit, number=40, missing=0.1).requires_grad_()
    for graph in (False, True):
        wanted = slope(whole(x), [x, *whole.parameters()], graph)
        found = slope(tight(x), [x, *tight.parameters()], graph)
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(curvature(tight, x), curvature(whole, x), rtol=1e-9, atol=1e-9)
    tight.requires_grad_(False)
    torch.testing.assert_close(slope(tight(x), [x])[0], wanted[0], rtol=1e-10, atol=1e-10)


@settings(max_examples=40)
@given(circuits(max_variables=3, families=SMOOTH), st.integers(0, 1000))
def test_random_circuits(circuit: Circuit, seed: int) -> None:
    """Including zero weights and impossible rows: never NaN, exact elsewhere."""
    model = pc.compile(circuit, dtype="float64", seed=seed)
    parameters = list(model.parameters())
    x = model.prepare(random_rows(circuit, seed, number=4))
    x = x[model(x).isfinite()] if parameters else x[:0]
    if not len(x):
        return
    plain, fast = slope(model(x), parameters, graph=True), slope(model(x), parameters)
    torch.testing.assert_close(plain, fast, rtol=1e-9, atol=1e-9)
    rng = torch.Generator(torch.get_default_device()).manual_seed(seed)
    ways = [torch.randn(p.shape, generator=rng, dtype=torch.float64) for p in parameters]
    slopes: list[tuple[Tensor, ...]] = []
    for step in (1e-5, -1e-5):
        moved = [
            (p.detach() + step * way).requires_grad_()
            for p, way in zip(parameters, ways, strict=True)
        ]
        slopes.append(slope(of_parameters(model, x)(*moved), moved))
    for found, above, below in zip(curvature(model, x, seed), *slopes, strict=True):
        assert bool(found.isfinite().all())
        # central differences with step 1e-5 have rounding and curvature errors of about 1e-10
        torch.testing.assert_close(found, (above - below) / 2e-5, rtol=1e-5, atol=1e-6)


def test_impossible_rows_give_zeros() -> None:
    b = Builder()
    x, y = b.binary("x"), b.binary("y")
    product = b.product([b.sum([b.indicator(x)], 2), b.sum([b.indicator(y)], 2)])
    circuit = b.build(b.sum([product], 1))
    model = pc.compile(circuit.replace(generator=Direct(floor=0.0)), dtype="float64")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "sum_2x2" in name:
                parameter[..., 1] = -torch.inf  # state 1 has probability 0
    rows = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    assert model(rows)[0] == -torch.inf
    assert all(bool(found.isfinite().all()) for found in curvature(model, rows))
    for found in curvature(model, rows[:1]):
        assert float(found.abs().sum()) == 0.0


def test_third_derivatives() -> None:
    model = pc.compile(kinds(), dtype="float64")
    x, parameters = some_rows(model.circuit, number=2), tuple(model.parameters())
    evaluate = of_parameters(model, x)

    def squared_slope(*given: Tensor) -> Tensor:
        grads = slope(evaluate(*given), given, graph=True)
        return torch.stack([g.square().sum() for g in grads]).sum()

    assert torch.autograd.gradgradcheck(squared_slope, parameters, fast_mode=True)


def test_parameters_made_of_one_another() -> None:
    """Each gets only its own share, whether or not a graph is wanted."""
    model = pc.compile(family_mixture(2, [Family.GAUSSIAN]), dtype="float64")
    x = some_rows(model.circuit)
    (first, p), (second, q) = list(model.named_parameters())
    base = torch.randn(p.numel(), dtype=torch.float64, requires_grad=True)

    def value() -> Tensor:
        one = base.view(p.shape)
        other = torch.cat([one.flatten()] * 4)[: q.numel()].view(q.shape) * 0.5
        result: Tensor = torch.func.functional_call(model, {first: one, second: other}, (x,))
        return result

    torch.testing.assert_close(slope(value(), [base], graph=True), slope(value(), [base]))


@IN_C
@pytest.mark.parametrize(
    ("circuit", "net"),
    [
        (lambda: pc.rat_spn(16, 4, 3), None),
        (lambda: pc.rat_spn(16, 4, 3), Hypernetwork(hidden=(6,))),
        (lambda: naive_bayes_mixture([FAMILIES[Family.CATEGORICAL]], 40), None),
        (lambda: family_mixture(20), None),
        (lambda: scalars(6), None),
    ],
    ids=["trees", "trees-net", "tables", "families", "packed"],
)
def test_float32_agrees_with_float64(
    circuit: Callable[[], Circuit], net: Hypernetwork | None
) -> None:
    made = circuit()
    single, double = pc.compile(made, net), pc.compile(made, net, dtype="float64")
    with torch.no_grad():
        for p, q in zip(single.parameters(), double.parameters(), strict=True):
            q.copy_(p)
    x = some_rows(made, number=20, missing=0.1)
    x = x.float().double()
    got, want = curvature(single, x.float()), curvature(double, x)
    for found, true in zip(got, want, strict=True):
        torch.testing.assert_close(
            found.double(), true, rtol=1e-5, atol=1e-6 * float(true.abs().max())
        )


@pytest.mark.cpu
@IN_C
def test_kernels_really_ran() -> None:
    assert isinstance(pc.compile(pc.rat_spn(16, 4, 3)).kernels, TreesOnCPU)


@pytest.mark.cpu
@IN_C
def test_a_result_changed_in_place_is_noticed() -> None:
    """The mixture of trees needs its result on the way down."""
    model = pc.compile(pc.rat_spn(6, 3, 2))
    value = model(some_rows(model.circuit).float())
    value.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.sum().backward()


def test_discrete_data_have_no_gradient() -> None:
    circuit = family_mixture(
        2, [Family.BERNOULLI, Family.POISSON, Family.BINOMIAL, Family.GAUSSIAN]
    )
    model = pc.compile(circuit, dtype="float64")
    x = some_rows(circuit).requires_grad_()
    for graph in (False, True):
        (found,) = slope(model(x), [x], graph)
        assert not bool(found[:, :3].any())
        assert bool((found[:, 3] != 0.0).all())


@pytest.mark.parametrize("name", ["tree", "packed", "kinds"])
def test_engines_refuse_a_second_derivative(name: str, golden: Callable[[str], None]) -> None:
    circuit = STRUCTURES[name]()
    model = pc.compile(circuit, dtype="float32" if name == "tree" else "float64")
    value = model.evaluate_once(model.prepare(some_rows(circuit))).sum()
    with pytest.raises(OptionError) as error:
        torch.autograd.grad(value, list(model.parameters()), create_graph=True)
    golden(str(error.value))


def test_queries_too() -> None:
    """Softmax in C is differentiated again if queries, in float64, follow it."""
    circuit = naive_bayes_mixture([binary("a"), FAMILIES[Family.CATEGORICAL]], 20)
    found: list[list[Tensor]] = []
    for dtype in ("float32", "float64"):
        model = pc.compile(circuit, dtype=dtype)
        parameters = list(model.parameters())
        grads = slope(model.renyi_entropy(), parameters, graph=True)
        total = torch.stack([g.double().square().sum() for g in grads]).sum()
        found.append([g.double() for g in torch.autograd.grad(total, parameters)])
    for single, double in zip(*found, strict=True):
        torch.testing.assert_close(single, double, rtol=1e-4, atol=1e-6 * float(double.abs().max()))


@pytest.mark.gpu
@pytest.mark.parametrize("net", [None, Hypernetwork(hidden=(6,))], ids=["direct", "net"])
@pytest.mark.parametrize("name", ["narrow", "wide", "gaussians", "packed"])
def test_on_cuda(name: str, net: Hypernetwork | None) -> None:
    circuit = {
        "narrow": lambda: pc.rat_spn(16, 4, 3),
        "wide": lambda: pc.rat_spn(16, 4, 32),
        "gaussians": lambda: pc.rat_spn([real(f"v{i}") for i in range(8)], 2, 16),
        "packed": lambda: scalars(6),
    }[name]()
    if name == "packed" and net is not None:
        pytest.skip("scalar circuits have nothing to generate")
    single = pc.compile(circuit, net, device="cuda")
    double = pc.compile(circuit, net, dtype="float64")
    x = some_rows(circuit, number=50, missing=0.1).float()
    with torch.no_grad():
        for p, q in zip(single.parameters(), double.parameters(), strict=True):
            q.copy_(p)
    plain = slope(single(x.cuda()), list(single.parameters()), graph=True)
    fast = slope(single(x.cuda()), list(single.parameters()))
    exact, found = (torch.cat([g.detach().flatten() for g in each]) for each in (plain, fast))
    assert float((found - exact).norm()) < 1e-4 * float(exact.norm())  # some nearly cancel
    for found, true in zip(curvature(single, x.cuda()), curvature(double, x.double()), strict=True):
        torch.testing.assert_close(
            found.cpu().double(), true, rtol=1e-5, atol=1e-6 * float(true.abs().max())
        )
