"""Region graphs: random trees, Poon-Domingos, quad trees and quad graphs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import OptionError
from pccompiler.ir import (
    Circuit,
    Direct,
    Family,
    Kind,
    binary,
    categorical,
    count,
    real,
    to_text,
)
from pccompiler.ir.plan.materialize import by_group
from pccompiler.ir.plan.oracle import log_likelihood
from pccompiler.passes import findings, plan
from pccompiler.structures import poon_domingos, quad_graph, quad_tree, random_tree
from pccompiler.structures.tools.regions import ProductKind
from pccompiler.testing import random_weights, total_mass, with_values, worlds
from pccompiler.testing.refusals import refusals

Golden = Callable[[str], None]
KINDS: tuple[ProductKind, ...] = ("elementwise", "kronecker")


def check(circuit: Circuit) -> None:
    """The circuit is well-formed and has mass 1 with any weights."""
    assert findings(circuit) == ()
    valued = with_values(circuit, random_weights(circuit, 0))
    lowered = plan(valued.replace(generator=Direct(floor=0.0)), dtype="float64")
    weights = by_group(lowered, valued.weights.values)
    logs = log_likelihood(lowered, weights, worlds(circuit))
    assert math.fsum(np.exp(logs)) == pytest.approx(1.0, rel=1e-12)
    if circuit.num_nodes < 40:  # also by the definition
        assert total_mass(valued) == pytest.approx(1.0, rel=1e-12)


def number(circuit: Circuit, kind: Kind) -> int:
    return int((circuit.kind == kind).sum())


@given(
    n=st.integers(1, 6),
    depth=st.none() | st.integers(0, 3),
    widths=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    replicas=st.integers(1, 2),
    arity=st.integers(2, 4),
    balanced=st.booleans(),
    product=st.sampled_from(KINDS),
    leaf=st.sampled_from(["auto", "indicator", "bernoulli"]),
)
def test_random_trees(
    n: int,
    depth: int | None,
    widths: tuple[int, int],
    replicas: int,
    arity: int,
    balanced: bool,
    product: ProductKind,
    leaf: str,
) -> None:
    circuit = random_tree(
        n,
        depth=depth,
        sum_units=widths[0],
        input_units=widths[1],
        replicas=replicas,
        arity=arity,
        split="balanced" if balanced else "random",
        product=product,
        leaf=leaf,
        seed=n,
    )
    check(circuit)
    root_parts = circuit.operands_of(circuit.root)
    assert len(root_parts) == replicas
    assert circuit.scopes.sizes()[root_parts].tolist() == [n] * replicas


def test_random_tree_counts() -> None:
    circuit = random_tree(16, units=3, replicas=2)
    assert number(circuit, Kind.INPUT) == 2 * 16
    assert number(circuit, Kind.PRODUCT) == 2 * 15
    assert number(circuit, Kind.SUM) == 2 * 14 + 1
    assert circuit.statistics.weight_entries == 2 * (16 * 3 * 2 + 14 * 9) + 2 * 3
    assert random_tree(16, depth=2, units=3).statistics.kinds["product"] == 4 + 3
    assert random_tree(9, arity=3).fan_in.max() == 3
    assert random_tree(30, seed=1) == random_tree(30, seed=1) != random_tree(30, seed=2)
    assert random_tree(30, split="random") != random_tree(30)


def test_kronecker_widths() -> None:
    circuit = random_tree(8, sum_units=3, input_units=2, product="kronecker")
    widths = circuit.units[circuit.kind == Kind.KRONECKER]
    assert sorted(set(widths.tolist())) == [4, 9]


@pytest.mark.parametrize("product", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (2, 2), (2, 3)])
def test_images_have_mass_one(size: tuple[int, int], product: ProductKind) -> None:
    for structure in (poon_domingos, quad_graph, quad_tree):
        check(structure(*size, 2, states=2, product=product))
        check(structure(*size, 2, states=2, input_units=1, product=product))
    check(quad_tree(*size, 2, states=2, parts=2, product=product))
    check(poon_domingos(*size, 2, states=2, delta=[2, 1], product=product))
    check(poon_domingos(*size, 2, states=2, delta=2, product=product))


@pytest.mark.parametrize("structure", [poon_domingos, quad_graph, quad_tree])
@pytest.mark.parametrize("channels_first", [False, True])
def test_channels_stay_together(structure: Callable[..., Circuit], channels_first: bool) -> None:
    circuit = structure(2, 2, 2, states=2, channels=3, channels_first=channels_first)
    check(circuit)
    lowest = np.flatnonzero((circuit.kind == Kind.PRODUCT) & (circuit.levels == 1))
    scopes = {tuple(circuit.scopes.variables(int(node)).tolist()) for node in lowest}
    first = (0, 4, 8) if channels_first else (0, 1, 2)
    assert first in scopes
    assert len(scopes) == 4


@given(height=st.integers(1, 6), width=st.integers(1, 6), delta=st.integers(1, 3))
def test_poon_domingos_counts(height: int, width: int, delta: int) -> None:
    circuit = poon_domingos(height, width, 2, delta=delta, states=2)
    assert findings(circuit) == ()
    a, b = -(-height // delta), -(-width // delta)
    stretches_a, stretches_b = a * (a + 1) // 2, b * (b + 1) // 2
    cuts_a, cuts_b = (a - 1) * a * (a + 1) // 6, (b - 1) * b * (b + 1) // 6
    leaves = int(a * b > 0) * a * b
    assert number(circuit, Kind.SUM) == stretches_a * stretches_b - leaves + int(a * b == 1)
    several = sum(
        min(delta, height - y) * min(delta, width - x) > 1
        for y in range(0, height, delta)
        for x in range(0, width, delta)
    )
    partitions = stretches_b * cuts_a + stretches_a * cuts_b
    assert number(circuit, Kind.PRODUCT) == partitions + several


def test_poon_domingos_axes_and_steps() -> None:
    rows = poon_domingos(4, 4, 2, axes="rows", states=2)
    assert number(rows, Kind.SUM) == 10 - 4
    coarse = poon_domingos(8, 8, 2, delta=[4, 1], states=2)
    fine = poon_domingos(8, 8, 2, states=2)
    # four squares of 4 x 4, each with all of its rectangles, and the 5 above them
    assert number(coarse, Kind.SUM) == 4 * (100 - 16) + 5
    assert number(fine, Kind.SUM) == 36 * 36 - 64


@given(height=st.integers(1, 9), width=st.integers(1, 9))
def test_quad_counts(height: int, width: int) -> None:
    n = height * width
    two = quad_tree(height, width, 2, parts=2, states=2)
    four = quad_tree(height, width, 2, states=2)
    graph = quad_graph(height, width, 2, states=2)
    assert findings(two) == findings(four) == findings(graph) == ()
    assert number(two, Kind.PRODUCT) == n - 1
    assert number(two, Kind.SUM) == max(n - 1, 1)
    arity = four.fan_in[four.kind == Kind.PRODUCT]
    assert int((arity - 1).sum()) == n - 1
    broad = int((arity == 4).sum())  # regions that are cut both ways
    assert number(graph, Kind.PRODUCT) == int((arity == 2).sum()) + 6 * broad
    assert number(graph, Kind.SUM) == max(len(arity) + 4 * broad, 1)


def test_large_images_are_quick_to_build() -> None:
    assert quad_graph(28, 28, 4).num_nodes == 3495
    assert poon_domingos(28, 28, 4, delta=4).num_nodes == 4704
    assert quad_tree(97, 61, 2, channels=3).statistics.variables == 97 * 61 * 3


def test_mixed_leaves() -> None:
    variables = [real("a"), real("b", [0, 1, 3]), count("c"), categorical("d", 4), binary("e")]
    circuit = random_tree(variables, leaf={"a": "laplace", "d": "binomial"})
    inputs = circuit.kind == Kind.INPUT
    pairs = zip(circuit.variable[inputs].tolist(), circuit.family[inputs].tolist(), strict=True)
    assert dict(pairs) == {
        0: Family.LAPLACE,
        1: Family.HISTOGRAM,
        2: Family.POISSON,
        3: Family.BINOMIAL,
        4: Family.CATEGORICAL,
    }
    assert findings(circuit) == ()
    names = ["gaussian", "histogram", "poisson", "indicator", "bernoulli"]
    by_order = random_tree(variables, leaf=names)
    assert findings(by_order) == ()
    assert by_order.statistics.kinds["sum"] == circuit.statistics.kinds["sum"] + 1


def test_text_of_a_random_tree(golden: Golden) -> None:
    golden(to_text(random_tree(5, units=2, arity=3, seed=1)))


def test_text_of_poon_domingos(golden: Golden) -> None:
    golden(to_text(poon_domingos(2, 2, 2, states=4)))


def test_text_of_a_quad_graph(golden: Golden) -> None:
    golden(to_text(quad_graph(2, 3, 2, states=2, product="kronecker")))


def test_summaries(golden: Golden) -> None:
    circuits = {
        "quad_tree(28, 28, 16)": quad_tree(28, 28, 16),
        "quad_tree(28, 28, 16, parts=2)": quad_tree(28, 28, 16, parts=2),
        "quad_graph(28, 28, 16)": quad_graph(28, 28, 16),
        "poon_domingos(28, 28, 16, delta=7)": poon_domingos(28, 28, 16, delta=7),
        "random_tree(100, units=8, replicas=4)": random_tree(100, units=8, replicas=4),
    }
    golden("\n".join(f"{name}\n  {circuit}" for name, circuit in circuits.items()))


def test_errors(golden: Golden) -> None:
    attempts: list[Callable[[], Circuit]] = [
        lambda: random_tree(0),
        lambda: random_tree(4, units=0),
        lambda: random_tree(4, sum_units=-1),
        lambda: random_tree(4, arity=1),
        lambda: random_tree(4, depth=-1),
        lambda: random_tree(4, split="uneven"),  # type: ignore[arg-type]  # the error
        lambda: random_tree(4, product="sum"),  # type: ignore[arg-type]  # the error
        lambda: random_tree(8, units=64, arity=4, product="kronecker"),
        lambda: random_tree(2, leaf={"x7": "bernoulli", "y": "poisson"}),
        lambda: random_tree(2, leaf=["bernoulli"]),
        lambda: random_tree(2, leaf="poisson"),
        lambda: quad_tree(2, 2, 2, parts=3),
        lambda: quad_graph(2, 2, 2, variables=[binary("a")]),
        lambda: quad_graph(2, 0, 2),
        lambda: poon_domingos(4, 4, 2, delta=[2, 4]),
        lambda: poon_domingos(4, 4, 2, delta=0),
        lambda: poon_domingos(4, 4, 2, axes="z"),  # type: ignore[arg-type]  # the error
        lambda: poon_domingos(4, 4, 2, states=1),
    ]
    golden(refusals(attempts, OptionError))
