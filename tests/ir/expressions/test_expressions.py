"""Circuits written as formulas."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import OptionError
from pccompiler.ir import Circuit, Kind, to_text
from pccompiler.ir.expressions.variables import (
    Node,
    RandomVariable,
    binary,
    categorical,
    count,
    dense,
    kron,
    mix,
    product,
    real,
    variables,
)
from pccompiler.passes import verify
from pccompiler.testing import density, worlds
from pccompiler.testing.strategies import circuits

Golden = Callable[[str], None]


def weather() -> Node:
    rain, wet = variables("rain", "wet")
    dry_day = (rain == 0) * wet.bernoulli(0.2)
    return cast(Node, 0.7 * dry_day + 0.3 * (rain == 1) * wet.bernoulli(0.9))


def test_scalar_circuit(golden: Golden) -> None:
    circuit = weather().circuit()
    verify(circuit)
    golden(to_text(circuit))
    assert density(circuit, [1, 1]) == pytest.approx(0.27)


def test_vectors_and_layers(golden: Golden) -> None:
    rain, wind, heat = variables("rain", categorical("wind", 3), real("heat"))
    day = rain.bernoulli([0.1, 0.9]).named("day")
    air = kron(wind.categorical(units=2, weight="air"), heat.gaussian([-5, 20], 4))
    joint = day * (np.full((2, 4), 0.25) @ air)
    other = day * dense(air, units=2, weight="w") * mix(joint, joint)
    top = (joint + joint + other).sum(3, weight="top") + dense(joint, units=3)
    circuit = (np.array([0.2, 0.3, 0.5]) @ top).named("root").circuit([heat, rain, wind])
    assert [v.name for v in circuit.variables] == ["heat", "rain", "wind"]
    golden(to_text(circuit))


def added(terms: list[Any]) -> Node:
    node: Any = sum(terms)
    return cast(Node, node)


def formula(circuit: Circuit) -> Node:
    """``circuit`` as a formula, written with the operators."""
    handles = variables(*circuit.variables)
    nodes: list[Any] = []
    for i in range(circuit.num_nodes):
        below = [nodes[j] for j in circuit.operands_of(i).tolist()]
        kind, units = Kind(int(circuit.kind[i])), int(circuit.units[i])
        weight = int(circuit.weight[i])
        table = circuit.weights.values[weight] if weight >= 0 else np.zeros((0, 0))
        if kind == Kind.INPUT:
            x = handles[int(circuit.variable[i])]
            made: Any = [x.indicator, x.bernoulli, x.categorical, None][int(circuit.family[i])]
            node = made() if weight < 0 else made(table)
        elif kind == Kind.PRODUCT:
            node = cast(Node, math.prod(below[1:], start=below[0]))
        elif kind == Kind.KRONECKER:
            node = kron(*below)
        elif kind == Kind.MIXTURE or (units == 1 and all(b.units == 1 for b in below)):
            node = added([w * b for w, b in zip(table.T, below, strict=True)])
        else:
            node = table @ below[0] if len(below) == 1 else dense(*below, weights=table)
        nodes.append(node.named(f"n{i}"))
    root: Node = nodes[circuit.root]
    return root


@given(circuits())
def test_formulas_of_circuits(circuit: Circuit) -> None:
    built = formula(circuit).circuit()
    verify(built)
    assert built.num_nodes == circuit.num_nodes
    for world in worlds(circuit)[:: max(1, len(worlds(circuit)) // 20)]:
        assert density(built, world) == pytest.approx(density(circuit, world), rel=1e-12)


@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6), st.integers(0, 1))
def test_sums_in_any_bracketing(weights: list[float], state: int) -> None:
    (x,) = variables("x")
    leaves = [x.bernoulli(1 / (i + 1)) for i in range(len(weights))]
    shares = [w / math.fsum(weights) for w in weights]
    left = shares[0] * leaves[0] + shares[1] * leaves[1]
    for share, leaf in zip(shares[2:], leaves[2:], strict=True):
        left = left + share * leaf
    right: Any = shares[-1] * leaves[-1]
    for share, leaf in zip(shares[-2::-1], leaves[-2::-1], strict=True):
        right = share * leaf + right
    values = [density(node.circuit(), [state]) for node in (left, right)]
    assert values[0] == pytest.approx(values[1])
    assert {node.circuit().num_nodes for node in (left, right)} == {len(weights) + 1}


def test_flat_products_and_sums() -> None:
    a, b, c = (x.bernoulli(0.5) for x in variables("a", "b", "c"))
    assert len((a * b * c).operands) == len((a * (b * c)).operands) == 3
    pair = (a * b).named("pair")
    assert len((pair * c).operands) == 2
    assert len((a + b + c).operands) == 3
    assert len(added([a, b, c]).operands) == 3
    assert len((mix(a, b) + c).operands) == 2
    assert (0.5 * a * b).weights == (a * (0.5 * b)).weights == (0.5 * (b * a)).weights
    assert ((0.5 * a) * (0.5 * b)).weights == (0.5 * (0.5 * a)).weights == (0.5 * a * 0.5).weights
    assert (a * 0.5).weights == 0.5
    assert (1.0 * a).circuit().num_nodes == 1


def test_a_node_used_twice_is_one_node() -> None:
    rain, wet = variables("rain", "wet")
    assert (rain == 1) is (rain == 1)
    shared = wet.bernoulli(0.5)
    root = 0.5 * (rain == 1) * shared + 0.5 * (rain == 0) * shared
    assert root.circuit().num_nodes == 6


def test_columns_are_in_order_of_declaration() -> None:
    first, second, _unused = variables("first", "second", "unused")
    circuit = (second.bernoulli(0.5) * first.bernoulli(0.5)).circuit()
    assert [v.name for v in circuit.variables] == ["first", "second"]


def test_locations_are_the_lines_of_the_formulas() -> None:
    (x,) = variables("x")
    leaf = x.bernoulli(0.5)
    frame = inspect.currentframe()
    line = frame.f_lineno - 2 if frame else 0
    circuit = (0.5 * leaf + 0.5 * leaf).circuit()
    assert str(circuit.where(0)).endswith(f"test_expressions.py:{line}")
    assert str(circuit.where(1)).endswith(f"test_expressions.py:{line + 3}")


def test_every_family() -> None:
    b, n, c, r, h = variables(
        binary("b"), categorical("n", 4), count("c"), real("r"), real("h", [0, 1, 3])
    )
    leaves = [
        b.bernoulli(0.5),
        n.binomial(0.5),
        c.poisson(3.0),
        r.laplace(0.0, 2.0),
        h.histogram([0.25, 0.75]),
    ]
    circuit = product(*leaves).circuit()
    verify(circuit)
    want = 0.5 * 3 / 8 * math.exp(-3) * 3 / 1 * math.exp(-0.5) / 4 * 0.375
    assert density(circuit, [1, 1, 1, 1.0, 2.0]) == pytest.approx(want)
    assert n.binomial(units=3).circuit().units.tolist() == [3]
    assert hash(b) != hash(n)
    assert b != n


def test_a_deep_and_a_long_formula() -> None:
    (x,) = variables("x")
    node = x.bernoulli(0.5)
    for _ in range(20_000):
        node = 0.5 * node + 0.5 * node
    assert node.circuit().statistics.depth == 20_000
    assert len(str(node)) < 100
    wide = product(*(v.bernoulli(0.5) for v in variables(*(f"x{i}" for i in range(5_000)))))
    assert wide.circuit().num_nodes == 5_001


Mistake = Callable[[RandomVariable, RandomVariable, Node], object]


def mistakes() -> dict[str, Mistake]:
    return {
        "mixed weights": lambda x, y, a: 0.3 * (x == 1) + a,
        "weights twice": lambda x, y, a: (0.3 * a + 0.7 * a) + a,
        "a term as the root": lambda x, y, a: (0.3 * a).circuit(),
        "a term in kron": lambda x, y, a: kron(0.3 * a, y == 1),
        "widths of products": lambda x, y, a: y.bernoulli(units=2) * ((x == 1) * a),
        "widths of sums": lambda x, y, a: y.bernoulli(units=2) + a + a,
        "matrix that does not fit": lambda x, y, a: np.eye(3) @ y.bernoulli(units=2),
        "weights that do not fit": lambda x, y, a: np.ones(3) * y.bernoulli(units=2),
        "weights of mix": lambda x, y, a: mix(a, a, weights=[0.2, 0.3, 0.5]),
        "weight of a word": lambda x, y, a: a * "much",
        "adding a number": lambda x, y, a: a + 1,
        "forgotten parentheses": lambda x, y, a: 0.3 * x,
        "product of variables": lambda x, y, a: x * y,
        "state that is not there": lambda x, y, a: y == 2,
        "state of a word": lambda x, y, a: y == "on",
        "state of a real variable": lambda x, y, a: variables(real("heat"))[0] == 1,
        "family that does not fit": lambda x, y, a: x.gaussian(0, 1),
        "parameters that do not fit": lambda x, y, a: x.bernoulli([0.1, 0.2], units=3),
        "truth of a formula": lambda x, y, a: bool((x == 1) * a),
        "two nodes of one name": lambda x, y, a: ((x == 1).named("n") * a.named("n")).circuit(),
        "two variables of one name": lambda x, y, a: product(
            *(v == 1 for v in variables("v", "v"))
        ).circuit(),
        "columns that lack one": lambda x, y, a: ((x == 1) * a).circuit([y]),
        "name that cannot be": lambda x, y, a: a.named("a b"),
        "product of nothing": lambda x, y, a: product(),
        "no units": lambda x, y, a: a.sum(0),
        "long formulas": lambda x, y, a: (
            kron(*[mix(a, a, a, a, a, weights=[0.2] * 5) * (x == 1)] * 2) * y.bernoulli(units=2)
        ),
        "values of shared weights": lambda x, y, a: (
            x.bernoulli(0.1, weight="w") * y.bernoulli(0.2, weight="w")
        ).circuit(),
    }


@pytest.mark.parametrize("name", mistakes())
def test_refusals(name: str, golden: Golden) -> None:
    x, y = variables("x", "y")
    leaf = y.bernoulli(0.5)
    with pytest.raises(OptionError) as error:
        mistakes()[name](x, y, leaf)
    (finding,) = error.value.diagnostics
    assert "test_expressions.py:" in str(finding.location)
    golden(f"{finding.code}: {finding.message}\n  help: {finding.help}")
