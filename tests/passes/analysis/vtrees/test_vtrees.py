"""Vtrees and compatibility, against definitions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pccompiler.errors import CircuitError
from pccompiler.imports.read import read
from pccompiler.ir import Builder, Circuit, Kind, binary
from pccompiler.passes import multiply, properties
from pccompiler.passes.analysis.compatibility import compatibility
from pccompiler.passes.analysis.vtrees.find import Vtree, structure
from pccompiler.structures import hmm, rat_spn
from pccompiler.testing import random_weights, with_values
from pccompiler.testing.random_circuits import DISCRETE, Maker, RandomChoices
from pccompiler.testing.strategies import circuits, unsmooth

Set = frozenset[int]


def splits(circuit: Circuit) -> dict[int, list[Set]]:
    """The parts of every product with at least two parts."""
    products = np.flatnonzero(np.isin(circuit.kind, (Kind.PRODUCT, Kind.KRONECKER)))
    found = {
        n: [frozenset(circuit.scopes.variables(j).tolist()) for j in circuit.operands_of(n)]
        for n in products.tolist()
    }
    return {n: parts for n, parts in found.items() if len(parts) > 1}


def trees(variables: tuple[int, ...]) -> Iterator[list[Set]]:
    """All binary trees over some variables, as the sets under their nodes."""
    if len(variables) == 1:
        yield [frozenset(variables)]
        return
    first, rest = variables[0], variables[1:]
    for size in range(len(rest)):
        for chosen in itertools.combinations(rest, size):
            left = (first, *chosen)
            right = tuple(v for v in rest if v not in chosen)
            for a, b in itertools.product(trees(left), trees(right)):
                yield [frozenset(variables), *a, *b]


def agrees(tree: list[Set], parts: list[Set]) -> bool:
    """The definition: each part is the set under a node, restricted to the product's scope."""
    scope = frozenset[int]().union(*parts)
    return set(parts) <= {node & scope for node in tree}


def nodes_of(tree: Vtree) -> list[Set]:
    return [frozenset(tree.variables_under(n).tolist()) for n in range(len(tree))]


@given(circuits(4), st.integers(0, 99), st.booleans())
def test_a_vtree_is_found_where_one_of_all_trees_agrees(
    circuit: Circuit, seed: int, drop: bool
) -> None:
    one = unsmooth(circuit, seed) if drop else circuit
    products = splits(one)
    every = list(products.values())
    exists = any(
        all(agrees(tree, parts) for parts in every)
        for tree in trees(tuple(range(len(one.variables))))
    )
    found = structure(one)
    assert (found.vtree is not None) == exists
    if found.vtree is not None:
        assert all(agrees(nodes_of(found.vtree), parts) for parts in every)
        assert all(agrees(nodes_of(found.vtree.binary()), parts) for parts in every)
        assert Vtree.from_text(found.vtree.to_text()).to_text() == found.vtree.to_text()
    else:
        few = [products[n] for n in found.culprits]
        assert len(few) >= 2
        assert drop or len(few) == 2
        everywhere = trees(tuple(range(len(one.variables))))
        assert not any(all(agrees(tree, parts) for parts in few) for tree in everywhere)


def refusal(left: Circuit, right: Circuit) -> str | None:
    """The error code if they cannot be multiplied."""
    try:
        multiply(left, right)
    except CircuitError as error:
        return error.diagnostics[0].code
    return None


def random_over(seed: int, number: int) -> Circuit:
    maker = Maker(RandomChoices(seed), [binary(f"x{i}") for i in range(number)], DISCRETE)
    root = maker.region(maker.scope, 1)
    circuit = maker.builder.build(root)
    return with_values(circuit, random_weights(circuit, seed))


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 5))
def test_compatible_circuits_are_those_that_can_be_multiplied(
    one: int, two: int, width: int, other: int
) -> None:
    left, right = random_over(one, width), random_over(two, other)
    found = compatibility(left, right)
    assert (found.culprits is None) is found.holds
    code = refusal(left, right)
    if code != "PC140":  # 0 everywhere, which may be found first
        assert found.holds is (code is None)


@given(circuits(5))
def test_a_circuit_with_a_vtree_is_compatible_with_itself(circuit: Circuit) -> None:
    assert compatibility(circuit, circuit).holds is (structure(circuit).vtree is not None)


def chain(order: list[int]) -> Circuit:
    """A product over binary variables that splits off one at a time."""
    builder = Builder([binary(name) for name in "abcd"])
    leaves = [builder.bernoulli(v, [0.5]) for v in order]
    node = leaves[0]
    for leaf in leaves[1:]:
        node = builder.product([node, leaf])
    return builder.build(node)


def test_splits_that_agree_at_the_top_may_cross_below() -> None:
    builder = Builder([binary(name) for name in "abcd"])
    a, b, c, d = (builder.bernoulli(v, [0.5]) for v in range(4))
    flat = builder.build(builder.product([builder.product([a, b]), c, d]))
    assert compatibility(flat, chain([0, 1, 2, 3])).holds
    assert not compatibility(flat, chain([0, 2, 1, 3])).holds
    report = properties(flat, chain([0, 2, 1, 3]))
    assert report["compatible"].answer == "no"
    assert "splits {a, c} | {b}" in report["compatible"].why
    assert compatibility(flat, chain([0, 2, 1, 3]), most_pairs=1).holds is None


def test_three_products_that_only_together_have_no_tree() -> None:
    builder = Builder([binary(name) for name in "abcd"])
    a, b, c, d = (builder.bernoulli(v, [0.5]) for v in range(4))
    pairs = ((a, b, c), (b, c, d), (c, d, a))
    found = [builder.product([builder.product([x, y]), z]) for x, y, z in pairs]
    root = builder.sum(found, weights=[0.3, 0.3, 0.4])
    circuit = builder.build(root)
    assert structure(circuit).vtree is None
    assert set(structure(circuit).culprits) == set(found)
    assert structure(circuit, most_steps=10) == structure(circuit, most_steps=10)
    assert structure(circuit, most_steps=10).culprits == ()


def test_text_of_a_vtree(tmp_path: Path) -> None:
    tree = Vtree.of([0, 1, 2, [0, 1, 2], 3, [3, 4]])
    assert tree.to_text() == ("vtree 7\nL 0 1\nL 1 2\nL 2 3\nI 3 1 2\nI 4 0 3\nL 5 4\nI 6 4 5\n")
    tree.write(tmp_path / "a.vtree")
    assert Vtree.read(tmp_path / "a.vtree") == tree.binary()
    assert tree.describe(("a", "b", "c", "d")) == "(4)\n  (3)\n    a\n    b\n    c\n  d\n"
    assert tree.splits == 2


@pytest.mark.parametrize(
    "text",
    ["L 0 0\n", "L 0 1\nL 1 1\nI 2 0 1\n", "L 0 1\nI 1 0 2\n", "L 0 1\nL 1 2\n", "X\n", ""],
)
def test_texts_that_are_no_vtree(text: str) -> None:
    with pytest.raises(CircuitError, match="PC124"):
        Vtree.from_text(text)


def test_no_vtree_file(tmp_path: Path) -> None:
    with pytest.raises(CircuitError, match="PC124"):
        Vtree.read(tmp_path)


def test_deep_and_wide_circuits() -> None:
    steps = hmm(1000, 2)
    assert structure(steps).vtree is not None
    assert compatibility(steps, steps).holds
    wide = rat_spn(300, 1, 2)
    assert structure(wide).vtree is not None
    many = structure(rat_spn(300, 20, 2))
    assert many.vtree is None
    assert len(many.culprits) == 2


@pytest.mark.parametrize(
    ("name", "structured"),
    [("coins.psdd", True), ("nltcs.psdd", True), ("msnbc.psdd", True), ("nltcs.spn.gz", False)],
)
def test_files_of_other_programs(
    name: str, structured: bool, sample: Callable[[str], Path]
) -> None:
    path = sample(name)
    circuit = read(path)
    found = structure(circuit).vtree
    assert (found is not None) is structured
    if found is not None:  # the file's own vtree has the same nodes
        given_tree = Vtree.read(path.with_suffix(".vtree"))
        order = {v.name: i for i, v in enumerate(circuit.variables)}
        assert len(order) == given_tree.splits + 1
        assert set(nodes_of(found)) <= set(nodes_of(given_tree))
