"""Any circuit in C on a CPU, against the definition in float64."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import pccompiler as pc
from pccompiler.ir import Builder, Circuit, Direct, Family
from pccompiler.ir.kinds import Kind
from pccompiler.ir.variables import binary, categorical, real
from pccompiler.structures import hclt, naive_bayes_mixture, quad_graph
from pccompiler.testing.scalars import to_scalars
from pccompiler.testing.strategies import circuits
from pccompiler.testing.strategies import rows as random_rows
from pccompiler.torch_backend import CompiledCircuit
from pccompiler.torch_backend.derivatives import by_definition
from pccompiler.torch_backend.engines.arena.engine import Arena
from pccompiler.torch_backend.engines.base import Engine
from pccompiler.torch_backend.engines.differentiable import evaluate
from pccompiler.torch_backend.engines.general import cpu
from pccompiler.torch_backend.engines.general.cpu import GeneralOnCPU
from pccompiler.torch_backend.engines.questions import Batch, Task, Wanted
from pccompiler.torch_backend.runtime import threads

pytestmark = [pytest.mark.cpu, pytest.mark.usefixtures("needs_a_compiler")]

Check = Callable[[torch.nn.Module, Tensor], None]
DTYPES: tuple[tuple[pc.api.Dtype, float], ...] = (("float64", 1e-11), ("float32", 2e-5))
BATCHES = st.sampled_from([0, 1, 2, 7, 33, 100])
COUNTED = (Family.BERNOULLI, Family.CATEGORICAL)
"""A missing value may give a sum over indicators counts, or not; these are unambiguous."""


def engine_of(model: CompiledCircuit) -> GeneralOnCPU:
    """The engine, also if another one comes before it."""
    found = model.engines.ask(GeneralOnCPU, Wanted.GRADIENT)
    assert isinstance(found, GeneralOnCPU)
    return found


def shares(x: Tensor) -> Tensor:
    """How many times each row counts."""
    return torch.linspace(-0.5, 1.5, len(x), dtype=x.dtype)


def gradient(model: CompiledCircuit, value: Tensor, share: Tensor) -> Tensor:
    """The gradient of all parameters in float64."""
    parameters = list(model.parameters())
    found = torch.autograd.grad((value * share).sum(), parameters, materialize_grads=True)
    return torch.cat([each.double().flatten() for each in found])


def answer(model: CompiledCircuit, x: Tensor) -> tuple[Tensor, Tensor]:
    """Log-likelihoods, and the gradient of their weighted sum, by this engine."""
    value = evaluate(engine_of(model), Batch(x), model.weights, Wanted.GRADIENT)
    return value.detach() + model.plan.log_scale, gradient(model, value, shares(x))


def truth(model: CompiledCircuit, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same by definition."""
    x = x.double()
    value = by_definition(model, x, list(model.weights.values.values()))
    return value.detach(), gradient(model, value, shares(x))


def compare(model: CompiledCircuit, x: Tensor, limit: float) -> None:
    """Values, and gradients as one vector, since gradients of a softmax cancel."""
    x = x.to(model.dtype)
    value, slope = answer(model, x)
    want, true = truth(model, x)
    torch.testing.assert_close(value.double(), want, rtol=limit, atol=limit)
    assert float((slope - true).norm()) <= limit * float(true.norm() + len(x))


def data(circuit: Circuit, seed: int, batch: int, missing: float = 0.3) -> Tensor:
    return torch.from_numpy(random_rows(circuit, seed, batch, missing))


def inner(circuit: Circuit) -> bool:
    """Whether a circuit has more than a leaf."""
    return bool((circuit.kind != Kind.INPUT).any())


@given(
    circuits(reals=True), st.booleans(), BATCHES, st.sampled_from([0.0, 0.3]), st.integers(0, 100)
)
def test_values_and_gradients(
    circuit: Circuit, scalar: bool, batch: int, missing: float, seed: int
) -> None:
    assume(inner(circuit))
    circuit = to_scalars(circuit) if scalar else circuit
    for floor in (None, 0.0):
        made = circuit if floor is None else circuit.replace(generator=Direct(floor=floor))
        for dtype, limit in DTYPES:
            model = pc.compile(made, dtype=dtype)
            if batch > 0:
                compare(model, data(circuit, seed, batch, missing), limit)
            else:
                x = torch.zeros(0, len(circuit.variables), dtype=model.dtype)
                assert evaluate(engine_of(model), Batch(x), model.weights, Wanted.VALUE).shape == (
                    0,
                )


@torch.no_grad()
def counts(
    model: CompiledCircuit, engine: Engine, x: Tensor, share: Tensor
) -> tuple[Tensor, Sequence[Tensor]]:
    """Log-likelihoods, expected counts of each table, and flows of leaves without tables."""
    tables = [model.weights.constrained(number) for number in model.weights.tables]
    densities = model.leaf_inputs.densities(x, model.weights.leaves()).values()
    value, ascent = engine.up(Batch(x), [*tables, *densities], Wanted.COUNTS)
    found = engine.down(ascent, Task(share, Wanted.COUNTS)).operands
    return value, [each for each in found if each is not None]


@given(circuits(families=COUNTED, reals=True), st.booleans(), BATCHES, st.integers(0, 100))
def test_counts(circuit: Circuit, scalar: bool, batch: int, seed: int) -> None:
    assume(inner(circuit))
    circuit = (to_scalars(circuit) if scalar else circuit).replace(generator=Direct(floor=0.0))
    for dtype, limit in DTYPES:
        model = pc.compile(circuit, dtype=dtype)
        x = data(circuit, seed, batch).to(model.dtype)
        value, found = counts(model, engine_of(model), x, shares(x).abs())
        if batch == 0:
            assert all(bool((each == 0.0).all()) for each in found)
            continue
        double = pc.compile(circuit, dtype="float64")
        arena = double.engines.ask(Arena, Wanted.COUNTS)
        assert isinstance(arena, Arena)
        want, true = counts(double, arena, x.double(), shares(x).abs().double())
        torch.testing.assert_close(value.double(), want, rtol=limit, atol=limit)
        for mine, exact in zip(found, true, strict=True):
            torch.testing.assert_close(mine.double(), exact, rtol=limit, atol=limit * batch)


def leaves_of_all_kinds() -> Circuit:
    """Indicators, tables and densities under sums, mixtures, and products of both kinds."""
    b = Builder()
    x, y, z = b.binary("x"), b.variable(categorical("y", 3)), b.real("z")
    left, right = b.sum([b.indicator(x)], 3), b.categorical(y, units=3)
    wide = b.sum([b.kronecker([left, right]), b.product([left, right])], 3, weight="shared")
    other = b.sum([b.kronecker([left, right]), b.product([right, left])], 3, weight="shared")
    parts = [b.product([each, b.gaussian(z, units=3)]) for each in (wide, other)]
    return b.build(b.sum([b.mixture(parts)], 1))


CIRCUITS: dict[str, Callable[[], Circuit]] = {
    "all kinds": leaves_of_all_kinds,
    "hmm": lambda: pc.hmm(12, 7),
    "rat": lambda: pc.rat_spn(13, 3, 9, seed=0),
    "hclt": lambda: hclt(np.random.default_rng(0).integers(0, 20, (50, 6)), 9),
    "quad": lambda: quad_graph(3, 3, 5, states=40),
    "mixture": lambda: naive_bayes_mixture([real("a"), categorical("b", 4)], 3),
    "scalar": lambda: to_scalars(
        pc.compile(pc.rat_spn(8, 2, 4, seed=0), dtype="float64").trained_circuit()
    ),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits(name: str) -> None:
    circuit = CIRCUITS[name]()
    for dtype, limit in DTYPES:
        model = pc.compile(circuit, dtype=dtype)
        for batch in (1, 33, 100):
            compare(model, data(circuit, batch, batch), limit)


@pytest.mark.parametrize("name", CIRCUITS)
def test_repeats_are_equal_bit_for_bit(name: str) -> None:
    """Also if values are computed again on the way down."""
    circuit = CIRCUITS[name]()
    for dtype, _ in DTYPES:
        model = pc.compile(circuit, dtype=dtype)
        for batch in (1, 7, 100):
            x = data(circuit, 0, batch).to(model.dtype)
            value, slope = answer(model, x)
            for _ in range(2):
                again = answer(model, x)
                assert torch.equal(again[0], value)
                assert torch.equal(again[1], slope)
            with patch.object(cpu, "_MOST_KEPT", 0):
                again = answer(model, x)
                assert torch.equal(again[0], value)
                assert torch.equal(again[1], slope)


def test_a_second_backward_pass_finds_the_same_values() -> None:
    circuit = leaves_of_all_kinds()
    model = pc.compile(circuit, dtype="float64")
    x, other = data(circuit, 0, 100), data(circuit, 1, 100)
    want = answer(model, x)[1]
    for most in (2**28, 0):
        with patch.object(cpu, "_MOST_KEPT", most):
            value = evaluate(engine_of(model), Batch(x), model.weights, Wanted.GRADIENT)
            first = torch.autograd.grad(
                (value * shares(x)).sum(), list(model.parameters()), retain_graph=True
            )
            answer(model, other)  # another evaluation must not reuse the kept values
            engine_of(model).release()
            second = torch.autograd.grad((value * shares(x)).sum(), list(model.parameters()))
        for found in (first, second):
            assert torch.equal(torch.cat([each.flatten() for each in found]), want)


@pytest.mark.parametrize("name", CIRCUITS)
def test_rows_do_not_depend_on_their_batch(name: str) -> None:
    circuit = CIRCUITS[name]()
    for dtype, limit in DTYPES:
        model = pc.compile(circuit, dtype=dtype)
        x = data(circuit, 0, 100).to(model.dtype)
        value, slope = answer(model, x)
        for batch in (2, 7, 33):
            assert torch.equal(answer(model, x[5 : 5 + batch])[0], value[5 : 5 + batch])
        alone = torch.cat([answer(model, row)[0] for row in x.split(1)])
        torch.testing.assert_close(alone, value, rtol=limit / 10, atol=limit / 10)
        parts = [(x[:50], shares(x)[:50]), (x[50:], shares(x)[50:])]
        total = torch.zeros_like(slope)
        for some, share in parts:
            value = evaluate(engine_of(model), Batch(some), model.weights, Wanted.GRADIENT)
            total += gradient(model, value, share)
        assert float((total - slope).norm()) <= limit * float(slope.norm())


def far_apart() -> tuple[Circuit, np.ndarray]:
    """A dense sum that leaves out its largest operand, by a factor of 1e40 in some rows."""
    rng = np.random.default_rng(0)
    b = Builder([categorical("x", 9), binary("y"), binary("z")])
    leaf = b.categorical(0, units=8)
    small = [b.bernoulli(v, [1e-20] * 7 + [1.0]) for v in (1, 2)]
    shares = rng.dirichlet(np.ones(8), 8)
    shares[:, 7] = 0.0
    mixed = b.sum([b.product([leaf, *small])], 8, weights=shares / shares.sum(1, keepdims=True))
    circuit = b.build(b.sum([mixed], 1, weights=[[0.125] * 8]))
    own = {int(circuit.weight[leaf]): rng.dirichlet(np.ones(9), 8)}
    circuit = circuit.with_values({**circuit.weights.values, **own})
    x = np.zeros((100, 3))
    x[:, 0] = rng.integers(0, 9, 100)
    return circuit.replace(generator=Direct(floor=0.0)), x


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_that_takes_the_exact_way_does_not_change_the_others(dtype: pc.api.Dtype) -> None:
    circuit, x = far_apart()
    model = pc.compile(circuit, dtype=dtype)
    usual = torch.from_numpy(x).to(model.dtype)
    unusual = usual.clone()
    unusual[[5, 60], 1:] = 1.0
    found, want = answer(model, unusual)[0], answer(model, usual)[0]
    assert float(found[[5, 60]].max()) < -80.0
    others = [row for row in range(100) if row not in (5, 60)]
    assert torch.equal(found[others], want[others])


def test_terms_that_underflow_beside_others() -> None:
    circuit, x = far_apart()
    x[[3, 5, 60], 1:] = 1.0
    x[4, 1:] = np.nan
    for dtype, limit in DTYPES:
        compare(pc.compile(circuit, dtype=dtype), torch.from_numpy(x), limit)


@pytest.mark.parametrize("variables", [3, 30, 100, 400])
def test_ratios_of_any_size(variables: int) -> None:
    """Operands that differ by up to 2000 decimals, and weights down to 1e-30."""
    b = Builder([binary(f"x{i}") for i in range(variables)])
    leaves = [b.bernoulli(i, [0.5, 0.9, 1e-3, 1e-6]) for i in range(variables)]
    shares = np.array(
        [[0.25] * 4, [0, 0, 1 - 1e-20, 1e-20], [0, 0, 0, 1], [1e-30, 0, 0, 1 - 1e-30]]
    )
    mixed = b.sum([b.product(leaves)], 4, weights=shares)
    circuit = b.build(b.sum([mixed], 1, weights=[[0.25] * 4])).replace(generator=Direct(floor=0.0))
    x = np.random.default_rng(0).integers(0, 2, (60, variables)).astype(np.float64)
    x[:20], x[20:25] = 0.0, 1.0
    for dtype, limit in DTYPES:
        compare(pc.compile(circuit, dtype=dtype), torch.from_numpy(x), limit)


@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("logarithm", [-60.0, -71.3, -80.0, -84.0])
def test_tiny_weights_pass_on_all_flow(logarithm: float, units: int) -> None:
    """A row that only a tiny weight explains; training may find such weights without a floor."""
    b = Builder()
    mixed = b.sum([b.bernoulli(b.binary("x"), [1.0, 0.0])], units, weights=[[0.5, 0.5]] * units)
    root = mixed if units == 1 else b.sum([mixed], 1, weights=[[0.5, 0.5]])
    circuit = b.build(root).replace(generator=Direct(floor=0.0))
    for dtype, limit in DTYPES:
        model = pc.compile(circuit, dtype=dtype)
        with torch.no_grad():
            logits = model.weights.values[f"logits_sum_{units}x2"]
            logits[..., 0], logits[..., 1] = logarithm, 0.0
        compare(model, torch.ones(1, 1), limit)
        one = torch.ones(1, dtype=model.dtype)
        value, found = counts(model, engine_of(model), one.view(1, 1), one)
        assert float(value) == pytest.approx(logarithm, rel=1e-5)
        assert all(float(each.sum()) == pytest.approx(1.0, rel=1e-5) for each in found)


@pytest.mark.parametrize("product", ["product", "kronecker"])
def test_impossible_rows(product: str) -> None:
    """A logarithm of -inf, from which no gradient comes."""
    b = Builder()
    leaf = b.categorical(b.variable(categorical("x", 3)), [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    states = b.sum([b.indicator(b.binary("y"))], 2, weights=[[0.25, 0.75], [0.5, 0.5]])
    top = getattr(b, product)([leaf, states])
    unequal = [[1.0, *[0.0] * (int(b.units_of([top])[0]) - 1)]] * 3
    root = b.sum([b.sum([top], 3, weights=unequal)], 1, weights=[[0.25, 0.25, 0.5]])
    circuit = b.build(root).replace(generator=Direct(floor=0.0))
    rows = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, torch.nan], [2.0, torch.nan]])
    for dtype, limit in DTYPES:
        model = pc.compile(circuit, dtype=dtype)
        compare(model, rows, limit)
        assert answer(model, rows.to(model.dtype))[0].isinf().tolist() == [True, False, False, True]
        value, slope = answer(model, rows[[0, 3]].to(model.dtype))
        assert value.tolist() == [-math.inf, -math.inf]
        assert float(slope.abs().max()) == 0.0


@pytest.mark.parametrize("wrong", [3.0, -1.0, 0.5, 1e12, math.inf, -math.inf])
def test_values_that_are_not_states_are_impossible(wrong: float) -> None:
    """If nobody checks the data."""
    circuit = pc.hmm([categorical(f"x{i}", 3) for i in range(4)], 5)
    for dtype, _ in DTYPES:
        model = pc.compile(circuit, dtype=dtype)
        x = torch.tensor([[0, 1, wrong, 2], [0, 1, 2, 2], [0, 1, torch.nan, 2]]).to(model.dtype)
        value, slope = answer(model, x)
        assert value.isinf().tolist() == [True, False, False]
        x[0], share = x[1], shares(x)
        want = evaluate(engine_of(model), Batch(x), model.weights, Wanted.GRADIENT)
        share[0] = 0.0
        torch.testing.assert_close(slope, gradient(model, want, share), rtol=1e-6, atol=1e-6)
        indicators = pc.compile(leaves_of_all_kinds(), dtype=dtype)
        x = torch.tensor([[wrong, 0, 0], [0, wrong, 0], [0, 0, 0]]).to(model.dtype)
        x[:, 0] = torch.where(x[:, 0] == 3.0, 2.0, x[:, 0])
        value, slope = answer(indicators, x)
        assert value.isinf().tolist() == [True, True, False]
        assert bool(slope.isfinite().all())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_parameters_that_are_no_numbers_give_none(name: str, dtype: pc.api.Dtype) -> None:
    circuit = CIRCUITS[name]()
    x = data(circuit, 0, 40, missing=0.0)
    for place in range(len(list(pc.compile(circuit, dtype=dtype).parameters()))):
        model = pc.compile(circuit, dtype=dtype)
        with torch.no_grad():
            list(model.parameters())[place].fill_(torch.nan)
        for batch in (1, 40):
            value, slope = answer(model, x[:batch].to(model.dtype))
            assert bool(value.isnan().all())
            assert bool(slope.isnan().any())


def test_a_long_chain() -> None:
    """2,000 products, whose value is far below the range of float32."""
    circuit = pc.hmm(2000, 5)
    x = data(circuit, 0, 40, missing=0.1)
    double = pc.compile(circuit, dtype="float64")
    value, slope = answer(double, x)
    layered = pc.compile(circuit, dtype="float64")
    layered.without_kernels()
    want = layered(x)
    assert float(want.detach().max()) < -1000.0
    torch.testing.assert_close(value, want.detach(), rtol=1e-12, atol=0.0)
    true = gradient(layered, want, shares(x))
    assert float((slope - true).norm()) < 1e-11 * float(true.norm())
    found = answer(pc.compile(circuit), x.float())
    torch.testing.assert_close(found[0].double(), value, rtol=1e-6, atol=0.0)
    assert float((found[1] - true).norm()) < 1e-4 * float(true.norm())  # terms cancel


def test_densities_far_from_their_means() -> None:
    circuit = naive_bayes_mixture([real("a"), real("b")], 3)
    for dtype, limit in DTYPES:
        model = pc.compile(circuit, dtype=dtype)
        for far in (1.0, 30.0, 1e3, 1e5, 1e10, 1e20):
            x = torch.tensor([[far, 0.1], [0.3, 0.2], [-far, far]]).to(model.dtype)
            value, slope = answer(model, x)
            want = truth(model, x)[0]
            torch.testing.assert_close(value.double(), want, rtol=limit, atol=limit)
            assert bool(slope.isfinite().all()) or far > 1e9


@pytest.mark.parametrize(
    "net", [pc.Hypernetwork(), pc.Hypernetwork(heads="slice"), pc.Hypernetwork(hidden=(6,))]
)
@pytest.mark.parametrize("name", ["hmm", "rat", "all kinds"])
def test_generated_weights(name: str, net: pc.Hypernetwork) -> None:
    circuit = CIRCUITS[name]()
    for dtype, limit in DTYPES:
        model = pc.compile(circuit, net, dtype=dtype)
        assert any(group.generated for group in model.plan.groups)
        compare(model, data(circuit, 0, 40), limit)


@pytest.mark.parametrize("net", [None, pc.Hypernetwork(hidden=(4,), embedding=2)])
@pytest.mark.parametrize("make", [leaves_of_all_kinds, lambda: pc.hmm(4, 3)])
def test_gradients_equal_finite_differences(
    make: Callable[[], Circuit], net: pc.Hypernetwork | None, gradcheck: Check
) -> None:
    circuit = make()
    model = pc.compile(circuit, net, dtype="float64")
    assert isinstance(model.engines.choose(Wanted.GRADIENT), GeneralOnCPU)
    gradcheck(model, data(circuit, 1, 6))


def test_gradients_by_the_data() -> None:
    circuit = CIRCUITS["mixture"]()
    model = pc.compile(circuit, dtype="float64")
    found: list[Tensor] = []
    for definition in (False, True):
        x = data(circuit, 0, 33).requires_grad_()
        parameters = list(model.weights.values.values())
        value = by_definition(model, x, parameters) if definition else model(x)
        found.append(torch.autograd.grad(value.sum(), x)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-11, atol=1e-11)


def test_any_number_of_threads_gives_the_same() -> None:
    """Bit for bit, also if tables are too large for many copies of their gradients."""
    circuit = pc.rat_spn(40, 6, 20, seed=0)
    model = pc.compile(circuit)
    x = data(circuit, 0, 1000).float()
    before = torch.get_num_threads()
    try:
        for copies in (2**22, 0):
            with patch.object(cpu, "_COPIES", copies):
                found: list[tuple[Tensor, Tensor]] = []
                for number in (1, 2, 3, 6):
                    torch.set_num_threads(number)
                    found.append(answer(model, x))
                for value, slope in found:
                    assert torch.equal(value, found[0][0])
                    assert torch.equal(slope, found[0][1])
    finally:
        torch.set_num_threads(before)


def test_large_work_gets_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    own = threads.threads_for

    def watched(numbers: int) -> int:
        found.append(own(numbers))
        return found[-1]

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        monkeypatch.setattr(cpu, "threads_for", watched)
        model = pc.compile(pc.rat_spn(20, 10, 20, seed=0))
        assert isinstance(model.engines.choose(Wanted.VALUE), GeneralOnCPU)
        with torch.no_grad():
            model(torch.zeros(500, 20))
            model(torch.zeros(1, 20))
    finally:
        torch.set_num_threads(before)
    assert found == [3, 1]


def test_models_in_many_python_threads() -> None:
    circuit = CIRCUITS["hmm"]()
    model = pc.compile(circuit)
    x = data(circuit, 0, 100).float()
    want = answer(model, x)
    wrong: list[int] = []

    def ask() -> None:
        for turn in range(20):
            found = answer(model, x)
            if not all(torch.equal(a, b) for a, b in zip(found, want, strict=True)):
                wrong.append(turn)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert wrong == []


def test_memory_is_kept_for_the_next_batch_until_it_is_released() -> None:
    circuit = CIRCUITS["hmm"]()
    model = pc.compile(circuit)
    engine = engine_of(model)
    x = data(circuit, 0, 100).float()
    answer(model, x)
    (spare,) = engine.spare
    answer(model, x[:33])
    assert engine.spare[0] is spare
    engine.release()
    assert engine.spare == []


def test_without_a_compiler_torch_runs(fresh: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc")
    model = pc.compile(pc.hmm(4, 3))
    assert model.engines.choose(Wanted.GRADIENT).name == "layered"
    refused = model.engines.ask(GeneralOnCPU, Wanted.GRADIENT)
    assert "no C compiler" in str(refused)
    assert model.kernels is None


def test_leaves_without_sums_get_gradients() -> None:
    """Where no table has a gradient, log-densities still have one."""
    x = torch.linspace(-2.0, 2.0, 80, dtype=torch.float64).view(40, 2)
    for names in ("xy", "x"):
        b = Builder()
        leaves = [b.gaussian(b.real(name)) for name in names]
        circuit = b.build(b.product(leaves) if len(leaves) > 1 else leaves[0])
        model = pc.compile(circuit, dtype="float64")
        rows = x[:, : len(names)]
        model.log_likelihood(rows).sum().backward()
        found = [parameter.grad for parameter in model.parameters()]
        plain = pc.compile(circuit, dtype="float64")
        plain.without_kernels()
        plain.log_likelihood(rows).sum().backward()
        for mine, other in zip(found, plain.parameters(), strict=True):
            assert mine is not None
            torch.testing.assert_close(mine, other.grad)
