"""Rewrites: IR before and after, equal answers, valid results, and no change in a second run."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pccompiler as pc
from pccompiler.errors import CircuitError, OptionError
from pccompiler.ir import Builder, Circuit, Family, parse, to_text
from pccompiler.ir.arrays import Float
from pccompiler.ir.circuit import select
from pccompiler.ir.topology import reachable
from pccompiler.passes import (
    Condition,
    Marginalize,
    MergeNested,
    NormalizeWeights,
    Pass,
    PassManager,
    Prune,
    ShareEqual,
    Smooth,
    Square,
    findings,
    multiply,
)
from pccompiler.passes.analysis.equivalence import EQUAL, compare
from pccompiler.testing import density, random_weights, total_mass, with_values, worlds
from pccompiler.testing.strategies import circuits, unsmooth

Golden = Callable[[str], None]
PRESERVING = (Smooth(), NormalizeWeights(), Prune(), MergeNested(), ShareEqual())

GARDEN = """pcir 1
variable rain binary
variable wet binary
%rain = input rain bernoulli 1 @rain
%dry = input rain bernoulli 1 @dry
%wet = input wet bernoulli 1 @wet
%both = product %rain %wet
"""
VALUES = "weight @rain 0.9\nweight @dry 0.2\nweight @wet 0.75\n"
EXAMPLES: dict[str, tuple[Pass, str]] = {
    "smooth": (
        Smooth(),
        GARDEN + "%root = sum 1 %both %dry @root\nroot %root\n" + VALUES + "weight @root 0.5 0.5\n",
    ),
    "smooth-train": (Smooth(), GARDEN + "%root = sum 1 %both %dry @root\nroot %root\n"),
    "normalize": (
        NormalizeWeights(),
        GARDEN
        + "%other = product %dry %wet\n%root = sum 1 %both %other @root\nroot %root\n"
        + VALUES
        + "weight @root 3 1\n",
    ),
    "prune": (
        Prune(),
        GARDEN
        + "%other = product %dry %wet\n%root = sum 1 %both %other @root\nroot %root\n"
        + VALUES
        + "weight @root 1 0\n",
    ),
    "merge": (
        MergeNested(),
        GARDEN
        + "%wet2 = input wet bernoulli 1 @wet2\n%low = product %dry %wet2\n"
        + "%a = sum 1 %both %low @a\n%b = product %dry %wet\n%root = sum 1 %a %b @root\n"
        + "root %root\n"
        + VALUES
        + "weight @wet2 0.5\nweight @a 0.5 0.5\nweight @root 0.25 0.75\n",
    ),
    "share": (
        ShareEqual(),
        GARDEN
        + "%rain2 = input rain bernoulli 1 @rain2\n%again = product %wet %rain2\n"
        + "%root = sum 1 %both %again @root\nroot %root\n"
        + VALUES
        + "weight @rain2 0.9\nweight @root 0.25 0.75\n",
    ),
    "condition": (
        Condition.on({"rain": 1}),
        GARDEN
        + "%wet2 = input wet bernoulli 1 @wet2\n%low = product %dry %wet2\n"
        + "%root = sum 1 %both %low @root\nroot %root\n"
        + VALUES
        + "weight @wet2 0.5\nweight @root 0.5 0.5\n",
    ),
    "marginalize": (
        Marginalize.out(["rain"]),
        GARDEN
        + "%wet2 = input wet bernoulli 1 @wet2\n%low = product %dry %wet2\n"
        + "%root = sum 1 %both %low @root\nroot %root\n"
        + VALUES
        + "weight @wet2 0.5\nweight @root 0.5 0.5\n",
    ),
    "square": (
        Square(),
        GARDEN + "%root = sum 1 %both @root\nroot %root\n" + VALUES + "weight @root 1\n",
    ),
}


def live(text: str) -> Circuit:
    circuit = parse(text)
    return select(circuit, reachable(circuit))


@pytest.mark.parametrize("name", EXAMPLES)
def test_before_and_after(name: str, golden: Golden) -> None:
    step, text = EXAMPLES[name]
    before = parse(text) if name == "prune" else live(text)
    after = step(before)
    golden(f"# before\n{to_text(before)}# after {step}\n{to_text(after)}")
    meaning = step.meaning if type(step).meaning is not Pass.meaning else None
    proof = compare(before, after, step.name, meaning)
    assert proof == EQUAL or name == "smooth-train"


@given(circuits(), st.sampled_from(PRESERVING))
def test_rewrites_keep_the_function(circuit: Circuit, step: Pass) -> None:
    once = step(circuit)
    assert compare(circuit, once, step.name) == EQUAL
    assert step(once) is once


@given(circuits(families=tuple(Family), zeros=False), st.sampled_from(PRESERVING))
def test_rewrites_keep_densities_of_any_family(circuit: Circuit, step: Pass) -> None:
    row = [0.0 if v.domain != "real" else 0.3 for v in circuit.variables]
    assert density(step(circuit), row) == pytest.approx(density(circuit, row), rel=1e-10)


@given(circuits(4), st.integers(0, 99))
def test_smoothing_keeps_the_function_on_complete_rows(circuit: Circuit, seed: int) -> None:
    rough = unsmooth(circuit, seed)
    smooth = Smooth()(rough)
    assert compare(rough, smooth, "smooth") == EQUAL
    assert Smooth()(smooth) is smooth
    assert total_mass(smooth) == pytest.approx(np.exp(smooth.log_scale), rel=1e-10)


@given(circuits(4, values=False), st.integers(0, 99))
def test_smoothing_for_training_adds_inputs_without_values(circuit: Circuit, seed: int) -> None:
    smooth = Smooth(fill="train")(unsmooth(circuit, seed))
    assert not findings(smooth)
    assert not smooth.weights.values


@given(circuits(4), st.integers(0, 99))
def test_any_weights_become_rows_that_sum_to_one(circuit: Circuit, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tables = circuit.weights.values.items()
    values = {w: t * rng.uniform(0.1, 9.0, (len(t), 1)) for w, t in tables if t.shape[1] > 1}
    scaled = with_values(circuit, {**circuit.weights.values, **values})
    normal = NormalizeWeights()(scaled)
    assert compare(scaled, normal, "normalize") == EQUAL
    assert NormalizeWeights()(normal) is normal


def code(error: CircuitError, wanted: str) -> None:
    assert error.diagnostics[0].code == wanted


@given(circuits(5), st.integers(0, 99), st.booleans())
def test_conditioning_and_marginals(circuit: Circuit, seed: int, normalize: bool) -> None:
    rng = np.random.default_rng(seed)
    most = len(circuit.variables)
    chosen = rng.permutation(most)[: rng.integers(0, most)].tolist()
    names = [circuit.variables[v].name for v in chosen]
    evidence = {n: float(rng.integers(circuit.variables[v].cardinality)) for n, v in
                zip(names, chosen, strict=True)}  # fmt: skip
    for step in (Marginalize.out(names), Condition.on(evidence, normalize=normalize)):
        try:
            result = step(circuit)
        except CircuitError as error:
            code(error, "PC143")
            full = [evidence.get(v.name, np.nan) for v in circuit.variables]
            assert pc.testing.marginal(circuit, full) == 0.0
            continue
        assert compare(circuit, result, step.name, step.meaning) == EQUAL
        assert step(result) is result


@given(circuits(4))
def test_squares(circuit: Circuit) -> None:
    try:
        square = Square()(circuit)
    except CircuitError as error:
        code(error, "PC161")  # its products cross
        return
    assert compare(circuit, square, "square", Square().meaning) == EQUAL


MODELS: dict[str, Circuit] = {
    "rat-spn": pc.rat_spn(5, 1, 2, 3),
    "hmm": pc.hmm(6, 3),
    "mixture": pc.naive_bayes_mixture(4, 3),
}


def values(circuit: Circuit) -> Float:
    return np.array([density(circuit, world) for world in worlds(circuit)])


@pytest.mark.parametrize("name", MODELS)
def test_products_of_two_circuits(name: str) -> None:
    left, right = (with_values(MODELS[name], random_weights(MODELS[name], s)) for s in (1, 2))
    product = multiply(left, right)
    np.testing.assert_allclose(values(product), values(left) * values(right), rtol=1e-10)
    assert total_mass(product) == pytest.approx(np.exp(product.log_scale), rel=1e-10)


def test_products_over_different_variables() -> None:
    left, right = Builder(), Builder()
    left.binary("x")
    left.real("y")
    right.real("y")
    right.binary("z")
    a = left.build(left.product([left.bernoulli(0, [0.3]), left.gaussian(1, [[0.0, 1.0]])]))
    b = right.build(right.product([right.gaussian(0, [[1.0, 2.0]]), right.bernoulli(1, [0.6])]))
    product = multiply(a, b)
    assert [v.name for v in product.variables] == ["x", "y", "z"]
    want = density(a, [1.0, 0.4]) * density(b, [0.4, 0.0])
    assert density(product, [1.0, 0.4, 0.0]) == pytest.approx(want, rel=1e-12)


def test_the_square_of_a_gaussian_mixture_is_its_square() -> None:
    b = Builder()
    x = b.real("x")
    circuit = b.build(b.sum([b.gaussian(x, [[0.0, 1.0], [3.0, 0.5]])], weights=[0.25, 0.75]))
    square = Square()(circuit)
    for value in (-1.0, 0.5, 2.9):
        want = density(circuit, [value]) ** 2
        assert density(square, [value]) == pytest.approx(want, rel=1e-12)
    grid = np.linspace(-12.0, 15.0, 20_001)
    integral = np.trapezoid([density(circuit, [x]) ** 2 for x in grid], grid)
    assert np.exp(square.log_scale) == pytest.approx(integral, rel=1e-9)


def test_pipelines_prove_their_rewrites() -> None:
    text = "smooth,normalize,prune,merge,share,condition{evidence=x0:1},marginalize{variables=x1}"
    manager = PassManager.parse(text, verify_semantics=True)
    circuit = with_values(MODELS["rat-spn"], random_weights(MODELS["rat-spn"]))
    result = manager(circuit)
    assert [v.name for v in result.variables] == ["x2", "x3", "x4"]
    assert all(record.proven for record in manager.trace)
    assert str(PassManager.parse(str(manager))) == str(manager)


REFUSED: dict[str, Callable[[], object]] = {
    "zero": lambda: NormalizeWeights()(
        parse(GARDEN + "%root = sum 1 %both @root\nroot %root\n" + VALUES + "weight @root 0\n")
    ),
    "negative": lambda: NormalizeWeights()(
        parse(GARDEN + "%root = sum 1 %both @root\nroot %root\n" + VALUES + "weight @root -1\n")
    ),
    "no-values": lambda: Condition.on({"x0": 1})(MODELS["rat-spn"]),
    "impossible": lambda: Condition.on({"rain": 0})(
        live(GARDEN + "root %both\nweight @rain 1\nweight @wet 0.5\n")
    ),
    "nothing-left": lambda: Marginalize.out([f"x{i}" for i in range(5)])(MODELS["rat-spn"]),
    "no-value": lambda: Condition.on({"x0": 2})(MODELS["rat-spn"]),
    "malformed": lambda: Condition(evidence="rain=1"),
    "one-over-reals": lambda: Smooth()(
        live("pcir 1\nvariable t real\n" + GARDEN[7:] + "root %both\nweight @rain 0.5\n")
    ),
    "crossing": lambda: multiply(*_crossing()),
    "domains": lambda: multiply(pc.hmm(2, 1), pc.hmm([pc.ir.real("x0"), pc.ir.real("x1")], 1)),
    "laplace": lambda: Square()(_laplace()),
}


def _crossing() -> tuple[Circuit, Circuit]:
    def over(first: tuple[int, int], second: tuple[int, int]) -> Circuit:
        b = Builder([pc.ir.binary(name) for name in "abcd"])
        leaves = [b.bernoulli(i, [0.5]) for i in range(4)]
        pairs = [b.product([leaves[i] for i in pair], name=f"p{pair[0]}{pair[1]}")
                 for pair in (first, second)]  # fmt: skip
        return b.build(b.product(pairs, name="root"))

    return over((0, 1), (2, 3)), over((0, 2), (1, 3))


def _laplace() -> Circuit:
    b = Builder()
    x = b.real("x")
    inputs = b.inputs([x], Family.LAPLACE)
    circuit = b.build(int(inputs[0]))
    return with_values(circuit, {0: np.array([[0.0, 1.0]])})


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, golden: Golden) -> None:
    with pytest.raises((CircuitError, OptionError)) as caught:
        REFUSED[name]()
    golden(re.sub(r"\S*test_rewrites\.py:\d+", "FILE", str(caught.value)))
