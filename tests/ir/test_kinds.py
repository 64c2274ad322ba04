"""Kinds of products that the package does not have, taken through everything by their tables."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
import torch

import pccompiler as pc
from pccompiler.bench.kinds.registry import DIRECTIONS
from pccompiler.drawing import draw
from pccompiler.ir import Circuit, Kind, parse, to_text
from pccompiler.ir.arrays import Float, Int
from pccompiler.ir.kinds import PRODUCTS, ProductKind
from pccompiler.ir.networks.read import from_networkx
from pccompiler.ir.networks.write import to_networkx
from pccompiler.ir.plan.materialize import materialize
from pccompiler.ir.plan.rounding import bounded_log_likelihood
from pccompiler.ir.text import parser
from pccompiler.onnx_backend import OnnxModel
from pccompiler.passes import (
    Check,
    Condition,
    Marginalize,
    MergeNested,
    NormalizeWeights,
    Pack,
    Pass,
    ShareEqual,
    Smooth,
    determinism,
    findings,
    multiply,
    plan,
)
from pccompiler.testing import density, marginal, random_weights, with_values, worlds
from pccompiler.testing.random_circuits import rows
from pccompiler.testing.scalars import to_scalars
from pccompiler.torch_backend.derivatives import by_definition
from pccompiler.torch_backend.engines.layered.engine import Layered
from pccompiler.torch_backend.engines.questions import Wanted

TEXT = """pcir 1
variable a categorical 3
variable b binary
variable c categorical 4
variable d binary
%a = input a categorical 3 @a
%b = input b bernoulli 3 @b
%c = input c categorical 3 @c
%d = input d bernoulli 6 @d
%ab = {keyword} %a %b
%s = sum 3 %ab @s
%sc = {keyword} %s %c
%t = sum 6 %sc @t
%td = product %t %d
%root = sum 1 %td @root
root %root
"""


class Turned(ProductKind):
    """Unit u multiplies unit u + i of operand i, modulo their width."""

    def width(self, widths: Sequence[int]) -> int:
        return widths[0] if len(set(widths)) == 1 else 0

    def places(self, widths: Sequence[int]) -> Int:
        operands = np.arange(len(widths))
        return (np.arange(self.width(widths))[:, None] + operands) % self.width(widths)


class Ascending(ProductKind):
    """The pairs of a Kronecker product in which no unit is followed by a lower one."""

    def width(self, widths: Sequence[int]) -> int:
        return len(self.places(widths)) if len(set(widths)) == 1 else 0

    def places(self, widths: Sequence[int]) -> Int:
        return np.array(list(combinations_with_replacement(range(widths[0]), len(widths))))


# a closed vocabulary gains a member for one test, by what `enum` keeps of its members


@pytest.fixture(params=[Turned, Ascending], ids=["turned", "ascending"])
def circuit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Circuit:
    """A circuit with two products of a kind that is declared for the test."""
    name, value = request.param.__name__.upper(), len(Kind)
    kind = int.__new__(Kind, value)
    kind._name_, kind._value_ = name, value
    monkeypatch.setitem(Kind._member_map_, name, kind)
    monkeypatch.setitem(Kind._value2member_map_, value, kind)
    monkeypatch.setattr(Kind, "_member_names_", [*Kind._member_names_, name])
    monkeypatch.setitem(parser._KINDS, kind.keyword, kind)
    monkeypatch.setitem(PRODUCTS, kind, request.param())
    found = parse(TEXT.format(keyword=kind.keyword))
    return with_values(found, random_weights(found))


def some_rows(circuit: Circuit) -> Float:
    return rows(circuit, 0, number=20, missing=0.3)


def expected(circuit: Circuit, x: Float) -> Float:
    return np.log([marginal(circuit, row) for row in x])


def test_text_and_scalars(circuit: Circuit) -> None:
    assert parse(to_text(circuit)) == circuit
    x = some_rows(circuit)
    np.testing.assert_allclose(expected(to_scalars(circuit), x), expected(circuit, x))


def test_check_refuses_another_width(circuit: Circuit) -> None:
    Check()(circuit)
    wrong = circuit.replace(units=np.where(circuit.kind == len(Kind) - 1, 5, circuit.units))
    said = [str(found) for found in findings(wrong)]
    assert any("has 5 units, but its operands make" in each for each in said)


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("numerics", ["auto", "log"])
def test_values_and_gradients(circuit: Circuit, numerics: pc.api.Numerics, kernels: bool) -> None:
    model = pc.compile(circuit, dtype="float64", numerics=numerics)
    if not kernels:
        model.without_kernels()
        assert isinstance(model.engines.choose(Wanted.VALUE), Layered)
    x = some_rows(circuit)
    weights = materialize(model.plan, model.weights.layout, model.parameters_as_numpy())
    oracle, bound = bounded_log_likelihood(model.plan, weights, x)
    assert (bound >= 0.0).all()
    np.testing.assert_allclose(oracle, expected(circuit, x))
    data = torch.from_numpy(x).to(model.device)
    np.testing.assert_allclose(model(data).detach().cpu().numpy(), oracle)
    parameters = list(model.parameters())
    engine = torch.autograd.grad(model(data).sum(), parameters)
    plain = torch.autograd.grad(by_definition(model, data, parameters).sum(), parameters)
    for one, other in zip(engine, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_questions(circuit: Circuit) -> None:
    """The arena and its flows, and pairs of units."""
    model, x = pc.compile(circuit, dtype="float64"), some_rows(circuit)
    masses = np.array([density(circuit, row) for row in worlds(circuit)])
    assert float(model.renyi_entropy(2.0).detach()) == pytest.approx(-np.log((masses**2).sum()))
    x[:, 1] = np.nan
    found = model.posterior_marginals(x).states[:, 1, 1].detach().cpu().numpy()
    there = x.copy()
    there[:, 1] = 1.0
    np.testing.assert_allclose(np.log(found), expected(circuit, there) - expected(circuit, x))
    drawn = model.sample(50, seed=0)
    assert np.isfinite(model.log_likelihood(drawn).detach().cpu().numpy()).all()


def test_onnx(circuit: Circuit, tmp_path: Path) -> None:
    pc.export_onnx(pc.compile(circuit), tmp_path / "m.onnx")
    x = some_rows(circuit)
    got = OnnxModel(tmp_path / "m.onnx").log_likelihood(x)
    np.testing.assert_allclose(got, expected(circuit, x), rtol=1e-5)


def test_conditions_and_marginals(circuit: Circuit) -> None:
    for variable in range(4):
        name = circuit.variables[variable].name
        rest = np.delete(np.array(worlds(circuit)), variable, axis=1)
        for value, made in (
            (1.0, Condition.on({name: 1.0})(circuit)),
            (np.nan, Marginalize.out([name])(circuit)),
        ):
            whole = np.insert(rest, variable, value, axis=1)
            np.testing.assert_allclose(expected(made, rest), expected(circuit, whole))


@pytest.mark.parametrize(
    "step", [MergeNested(), ShareEqual(), Smooth(), NormalizeWeights(), Pack()]
)
def test_other_passes(circuit: Circuit, step: Pass) -> None:
    x = some_rows(circuit)
    np.testing.assert_allclose(expected(step(circuit), x), expected(circuit, x))


def test_products_of_circuits(circuit: Circuit) -> None:
    squared = multiply(circuit, circuit)
    for row in worlds(circuit)[::5]:
        assert density(squared, row) == pytest.approx(density(circuit, row) ** 2)


def test_determinism_pictures_and_work(circuit: Circuit, tmp_path: Path) -> None:
    assert determinism(circuit).verdict == determinism(to_scalars(circuit)).verdict
    keyword = Kind(len(Kind) - 1).keyword
    for what in ("circuit", "regions", "layers"):
        assert keyword in draw(circuit, tmp_path / "c.svg", what=what).read_text()
    for kind in DIRECTIONS.values():
        assert kind.work(plan(circuit), 1).flops > 0
    graph = to_networkx(circuit, scalar=True)
    again, x = from_networkx(graph, variables=circuit.variables), some_rows(circuit)
    np.testing.assert_allclose(expected(again, x), expected(circuit, x))


def test_a_kronecker_product_times_one_operand_over_its_whole_scope() -> None:
    """The factors overlap as a whole, and their order must not change which unit is which."""
    head = "pcir 1\nvariable a binary\nvariable b binary\n"
    left = parse(
        head + "%a = input a bernoulli 2 @a\n%b = input b bernoulli 3 @b\n"
        "%k = kronecker %a %b\n%r = sum 1 %k @r\nroot %r\n"
    )
    right = parse(
        head + "%a = input a bernoulli 2 @a\n%b = input b bernoulli 2 @b\n%k = product %a %b\n"
        "%s = sum 2 %k @s\n%p = product %s\n%r = sum 1 %p @r\nroot %r\n"
    )
    one, other = (with_values(c, random_weights(c, seed)) for seed, c in enumerate((left, right)))
    both = multiply(one, other)
    for row in worlds(one):
        assert density(both, row) == pytest.approx(density(one, row) * density(other, row))
